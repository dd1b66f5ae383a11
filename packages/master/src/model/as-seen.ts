import type { Decky, DeckyState, ObservedRecord } from "./decky.ts";

/** The state of a decky that nothing was done to since it was seen so. Pure; its next observation says it again. */
export function stateAsSeen(observed: ObservedRecord | null): Pick<Decky, "message"> & { readonly state: DeckyState } {
  if (observed === null) return { state: "pending", message: "" };
  if (observed.baseId === "") return { state: "failed", message: "base: there is no container" };
  const troubles = observed.services.filter((service) => service.state !== "running");
  const message = troubles.map((service) => `${service.slug}: ${service.message}`).join("; ");
  if (troubles.length === 0) return { state: "running", message };
  return { state: troubles.some((service) => service.state === "detached") ? "detached" : "degraded", message };
}
