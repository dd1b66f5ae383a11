import type { ObservedAccess } from "../observe/host-access.ts";
import type { LanSpec } from "../spec.ts";
import type { Draft } from "./plan.ts";

/** The steps that let the host reach a decky on a macvlan or ipvlan LAN; none when it can, or has no place there. */
export function planHostAccess(lan: LanSpec, ip: string, access: ObservedAccess | undefined): Draft[] {
  if (access === undefined || lan.parent === undefined) return [];
  const { helper, hostAddress, owner } = access;
  const name = helper?.name ?? access.freeName;
  const flaw =
    helper === undefined
      ? `the host cannot reach ${lan.driver} deckies without one`
      : helper.kind !== lan.driver || helper.parent !== lan.parent
        ? `helper is ${helper.kind} on ${helper.parent}`
        : !helper.addresses.includes(hostAddress)
          ? "helper does not have the host's address"
          : helper.isUp
            ? undefined
            : "helper is down";
  const make: Draft[] =
    flaw === undefined
      ? []
      : [
          {
            verb: "create-helper",
            target: name,
            service: "",
            cause: flaw,
            helper: { name, kind: lan.driver, parent: lan.parent, owner, address: hostAddress },
          },
        ];
  const route: Draft[] =
    flaw === undefined && helper?.routes.includes(ip) === true
      ? []
      : [
          {
            verb: "add-route",
            target: ip,
            service: "",
            cause: `the host has no route through ${name}`,
            helper: name,
            from: hostAddress,
          },
        ];
  return [...make, ...route];
}
