import { AppError } from "@decnet/common/errors/app-error";
import type { Topology } from "../model/topology.ts";

/** What of a topology refuses a change of it. */

export function requireVersion({ name, version }: Topology, expected: number | undefined): void {
  if (expected === undefined || expected === version) return;
  throw new AppError("VERSION_CONFLICT", `the topology ${name} has version ${version}, not ${expected}`, {
    metadata: { topology: name, expected: String(expected), actual: String(version) },
  });
}

export function wrongState({ name, state }: Topology, why: string): AppError {
  return new AppError("TOPOLOGY_STATE", `the topology ${name} is ${state.replace("_", " ")}: ${why}`, {
    metadata: { topology: name, state },
  });
}
