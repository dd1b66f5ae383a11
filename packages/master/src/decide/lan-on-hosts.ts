import { AppError, type FieldViolation } from "@decnet/common/errors/app-error";
import { homeOf } from "../model/decky.ts";
import type { LanOnHosts } from "../model/lan.ts";
import type { DeckyChange } from "./decky-change.ts";

/** Who has which address, on all hosts together: the LAN is one, wherever its deckies are. */
export function addressHolders(lans: LanOnHosts): ReadonlyMap<string, string> {
  return new Map(
    [...lans].flatMap(([host, { taken }]) =>
      taken.map(({ address, holder }) => [address, host === "local" ? holder : `${holder}, on ${host}`] as const),
    ),
  );
}

/** Whether the change needs the LAN, or an address on it, that its host has not given to the decky yet. */
export function takesPlace({ action }: DeckyChange): boolean {
  return action === "deploy" || action === "move" || action === "redeploy";
}

/** Throws FLEET_INVALID. */
export function refuseUnfitLan(changes: readonly DeckyChange[], lans: LanOnHosts): void {
  const holders = addressHolders(lans);
  const placed = changes.filter(takesPlace);
  const violations: FieldViolation[] = [
    ...[...new Set(placed.map(({ host }) => host))].flatMap((host) => {
      const trouble = lans.get(host)?.trouble ?? "";
      return trouble === "" ? [] : [{ field: "fleet.lan", description: `host ${host} cannot have this LAN: ${trouble}` }];
    }),
    ...placed.flatMap(({ action, decky, attachments }) => {
      const { ip } = attachments[0];
      const holder = action === "deploy" || ip !== homeOf(decky).ip ? holders.get(ip) : undefined;
      return holder === undefined
        ? []
        : [{ field: "fleet.deckies", description: `${decky.name} wants ${ip}, which ${holder} has` }];
    }),
  ];
  if (violations.length === 0) return;
  const told = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  throw new AppError("FLEET_INVALID", told.slice(0, 4_000), { violations: violations.slice(0, 50) });
}
