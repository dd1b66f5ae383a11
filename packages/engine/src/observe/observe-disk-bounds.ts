import { access } from "node:fs/promises";
import type { DiskBounds } from "../render/disk-bounds.ts";
import { unlessAbsentLater } from "./not-observed.ts";

/** What an engine says of where it keeps containers. */
export interface EngineStorage {
  /** `overlay2` for instance. */
  readonly driver: string;
  /** The file system under it; empty when it does not say. */
  readonly backing: string;
  readonly rootFolder: string;
}

export interface ObservedDiskBounds {
  readonly bounds: DiskBounds;
  /** What this host cannot even watch; undefined: it can. */
  readonly blindness: string | undefined;
}

const outOfSight: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "EACCES"]);
/** Those that mount a container's root as an overlay, whose upper folder is what it wrote. */
const overlays: ReadonlySet<string> = new Set(["overlay2", "overlayfs"]);

/** Engines and kernels differ in too much to go by their names: sizes are tried. Throws ENGINE_UNAVAILABLE. */
export async function observeDiskBounds(
  api: { storage(): Promise<EngineStorage>; sizesVolumes(instance: string): Promise<boolean> },
  { instance, isOn, bytes }: { readonly instance: string; readonly isOn: boolean; readonly bytes: number },
): Promise<ObservedDiskBounds> {
  const storage = await api.storage();
  const volumes = isOn && (await api.sizesVolumes(instance));
  // The same quotas, but engines before 29 take them for layers on this file system alone, and so do those after it.
  const layers = volumes && storage.driver === "overlay2" && storage.backing === "xfs";
  return { bounds: { layers, volumes, bytes }, blindness: layers ? undefined : await blindnessOf(storage) };
}

async function blindnessOf({ driver, rootFolder }: EngineStorage): Promise<string | undefined> {
  if (!overlays.has(driver)) return `the engine's storage driver ${driver} does not tell what each container wrote`;
  const isHere = await unlessAbsentLater(() => access(rootFolder).then(() => true), outOfSight);
  return isHere === true ? undefined : `the engine's folder ${rootFolder} is not seen from here`;
}
