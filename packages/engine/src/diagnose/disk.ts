import { mostFiles, type ObservedContainer, type PlaceUse } from "../observe/observed.ts";
import type { WantedContainer } from "../render/render-decky.ts";
import type { DiagnosisOf } from "./diagnosis.ts";

/** What is done about a service that takes more of the host's disk than it may. */
export interface DiskPolicy {
  /** `say`: nothing; `recreate`: a new container takes its place, and what it wrote is gone; it is stopped if that is no help. */
  readonly diskAct: "say" | "stop" | "recreate";
  /** Bytes for each place where a service can write, instead of the catalog's; 0: the catalog's. */
  readonly diskBytes: number;
}

export const defaultDiskPolicy: DiskPolicy = { diskAct: "recreate", diskBytes: 0 };

export interface FullDisk {
  readonly sentence: string;
  readonly remedy: DiagnosisOf<"exhausted">["remedy"];
}

/** Undefined while everything that it writes is within its bounds, or nobody has measured it. Pure. */
export function fullDisk(
  { name, disk = [], status }: Pick<ObservedContainer, "name" | "disk" | "status">,
  wanted: Pick<WantedContainer, "diskBytes">,
  policy: Partial<DiskPolicy>,
): FullDisk | undefined {
  const { diskAct, diskBytes } = { ...defaultDiskPolicy, ...policy };
  const budget = diskBytes > 0 ? diskBytes : (wanted.diskBytes ?? Number.POSITIVE_INFINITY);
  const full = disk.filter(({ bytes, files }) => bytes > budget || files >= mostFiles);
  const [first] = full;
  if (first === undefined) return undefined;
  const excess = excessOf(first, budget);
  if (diskAct === "say") return { sentence: excess, remedy: "wait" };
  // What is in a volume outlives its containers.
  const volume = full.find(({ kind }) => kind === "volume");
  if (diskAct === "recreate" && volume === undefined) return { sentence: excess, remedy: "recreate" };
  if (status === "running") return { sentence: excess, remedy: "stop" };
  const cleanUp = [`docker rm -f ${name}`, ...(volume === undefined ? [] : [`docker volume rm ${volume.name}`])].join(" && ");
  return { sentence: `${excess}; it is stopped, until it is made again: ${cleanUp}`, remedy: "none" };
}

/** In round figures: with each byte more it would be another sentence, and another plan. */
function excessOf({ kind, name, bytes }: PlaceUse, budget: number): string {
  const place = kind === "volume" ? `its volume ${name}` : "what it wrote";
  if (bytes <= budget) return `${place} is more than ${mostFiles} files`;
  return `${place} takes more than the ${Math.round(budget / (1 << 20))} MB of disk that it may`;
}
