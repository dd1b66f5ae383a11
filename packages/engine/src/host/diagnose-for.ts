import { type DiagnosedDecky, diagnoseDecky } from "../diagnose/diagnose.ts";
import type { ObservedDecky, ObservedNetwork } from "../observe/observed.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import type { HostParts } from "./host-parts.ts";

/** With what this host remembers of what it made. What is as wanted, and was never noted, is noted now. */
export async function diagnoseFor(
  { made }: Pick<HostParts, "made">,
  rendered: RenderedDecky,
  observed: ObservedDecky,
  networks?: ReadonlyMap<string, ObservedNetwork>,
): Promise<DiagnosedDecky> {
  const known = await made.of(rendered.spec);
  const diagnosed = diagnoseDecky(rendered, observed, { made: known, networks, now: Date.now() });
  const parts = [{ ...diagnosed.base, wanted: rendered.base }, ...diagnosed.services];
  const isNew = parts.some(({ wanted, diagnosis }) => diagnosis.word === "running" && known[wanted.name] === undefined);
  if (isNew) {
    const well = parts.filter(({ diagnosis }) => diagnosis.word === "running");
    await made.adopt(
      rendered.spec,
      Object.fromEntries(well.flatMap(({ wanted, seen }) => (seen === undefined ? [] : [[wanted.name, seen.traits]]))),
    );
  }
  return diagnosed;
}
