import type { Fact } from "../store/outbox.ts";

export type HostStateWord = "enrolled" | "connected" | "unreachable" | "decommissioned";

export function hostFact(name: string, state: HostStateWord, message: string): Fact[] {
  return [{ topic: `host.${name}.state`, key: `host.${name}`, payload: { host: name, state, message } }];
}
