import { create } from "@bufbuild/protobuf";
import { DriftPolicy, LanDriver, MovePolicy, type WantedFleet, WantedFleetSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { asGiven } from "@decnet/engine/catalog/coerce";
import { secretKeys } from "@decnet/engine/catalog/effective";
import type { Catalog } from "@decnet/engine/catalog/types";
import { toEgressMessage } from "@decnet/engine/wire/egress";
import type { WantedNow } from "../changes/apply-fleet.ts";
import { homeOf } from "../model/decky.ts";
import { plainConfig, toRotationMessage } from "./messages.ts";

const drivers = { bridge: LanDriver.BRIDGE, macvlan: LanDriver.MACVLAN, ipvlan: LanDriver.IPVLAN } as const;

/** What an operator would have to write to get the fleet that is wanted now. Secrets are left out. Pure. */
export function toWantedFleet({ settings, deckies }: WantedNow, catalog: Catalog): WantedFleet {
  const { lan, driftPolicy, movePolicy } = settings;
  return create(WantedFleetSchema, {
    lan: {
      name: lan.name,
      driver: drivers[lan.driver],
      subnet: lan.subnet,
      gateway: lan.gateway,
      parent: lan.parent ?? "",
      mtu: lan.mtu ?? 0,
    },
    driftPolicy: driftPolicy === "report" ? DriftPolicy.REPORT : DriftPolicy.REPAIR,
    movePolicy: movePolicy === "keep_old" ? MovePolicy.KEEP_OLD : MovePolicy.REMOVE_FIRST,
    deckies: deckies.map(({ decky, services, rotation }) => ({
      name: decky.name,
      archetype: decky.identity.archetype,
      services: services.map(({ slug, config }) => {
        const entry = catalog.services.get(slug);
        const plain = asGiven(plainConfig(config, secretKeys(entry)), entry);
        return { slug, ...(Object.keys(plain).length === 0 ? {} : { config: plain }) };
      }),
      noServices: services.length === 0,
      egress: toEgressMessage(decky.identity.egress),
      ip: homeOf(decky).ip,
      distro: decky.identity.distro,
      hostname: decky.identity.hostname,
      osFamily: decky.identity.osFamily,
      ...(rotation === undefined ? {} : { rotate: toRotationMessage(rotation) }),
      placement: { where: { case: "host" as const, value: decky.host } },
    })),
  });
}
