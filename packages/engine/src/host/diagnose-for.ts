import { type DiagnosedDecky, diagnoseDecky } from "../diagnose/diagnose.ts";
import type { ObservedDecky, ObservedNetwork } from "../observe/observed.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import type { HostParts } from "./host-parts.ts";

/** With what this host remembers of what it made. What is as wanted, and was never noted, is noted now. Throws NOT_OBSERVED. */
export async function diagnoseFor(
  { made, patience }: Pick<HostParts, "made" | "patience">,
  rendered: RenderedDecky,
  observed: ObservedDecky,
  networks?: ReadonlyMap<string, ObservedNetwork>,
): Promise<DiagnosedDecky> {
  const known = await made.of(rendered.spec);
  const diagnosed = diagnoseDecky(rendered, observed, { ...patience, made: known, networks, now: Date.now() });
  const parts = [{ ...diagnosed.base, wanted: rendered.base }, ...diagnosed.services];
  const isNew = parts.some(({ wanted, diagnosis }) => diagnosis.word === "running" && known[wanted.name] === undefined);
  if (isNew) {
    const well = parts.filter(({ diagnosis }) => diagnosis.word === "running");
    const seen = well.flatMap(({ wanted, seen: container }) =>
      container === undefined ? [] : [[wanted.name, container.traits] as const],
    );
    // Where it cannot be noted, such as on a full disk, a later look does it.
    await made.adopt(rendered.spec, Object.fromEntries(seen)).catch(() => undefined);
  }
  return diagnosed;
}
