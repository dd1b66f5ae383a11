import { mapSliced, type Sliced } from "@decnet/common/runtime/slices";
import {
  type ApplyFleetRequest,
  DriftPolicy,
  LanDriver,
  MovePolicy,
  type Placement as PlacementMessage,
} from "@decnet/contract/gen/decnet/v1/fleet_pb";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { WantedFleetInput } from "../decide/expand-fleet.ts";
import type { Placement } from "../decide/placement.ts";
import { invalid } from "./requests.ts";
import { parseRotation } from "./rotation-input.ts";

const drivers = {
  [LanDriver.UNSPECIFIED]: "bridge",
  [LanDriver.BRIDGE]: "bridge",
  [LanDriver.MACVLAN]: "macvlan",
  [LanDriver.IPVLAN]: "ipvlan",
} as const;

function toPlacement(message: PlacementMessage | undefined): Placement | undefined {
  switch (message?.where.case) {
    case "host":
      return { kind: "host", name: message.where.value };
    case "labels":
      return { kind: "labels", labels: message.where.value.labels };
    case "balanced":
      return message.where.value ? { kind: "balanced" } : undefined;
    default:
      return undefined;
  }
}

/** The fleet of a request, as far as the contract alone says what it means. In slices: it may name far more than there can be. */
export function* parseFleet({ fleet }: ApplyFleetRequest, catalog: Catalog): Sliced<WantedFleetInput> {
  if (fleet?.lan === undefined) throw invalid([{ field: "fleet.lan", description: "is needed" }]);
  const driver = drivers[fleet.lan.driver];
  if (driver === undefined) throw invalid([{ field: "fleet.lan.driver", description: "unknown value" }]);
  if (!(fleet.movePolicy in MovePolicy)) throw invalid([{ field: "fleet.move_policy", description: "unknown value" }]);
  if (!(fleet.driftPolicy in DriftPolicy)) throw invalid([{ field: "fleet.drift_policy", description: "unknown value" }]);
  const { name, subnet, gateway, parent, ipStart, mtu } = fleet.lan;
  return {
    lan: { driver, name, subnet, gateway, parent, ipStart, mtu },
    driftPolicy: fleet.driftPolicy === DriftPolicy.REPORT ? "report" : "repair",
    defaultPlacement: toPlacement(fleet.defaultPlacement),
    movePolicy: fleet.movePolicy === MovePolicy.KEEP_OLD ? "keep_old" : "remove_first",
    rotate: parseRotation(fleet.rotate, "fleet.rotate", catalog),
    deckies: yield* mapSliced(fleet.deckies.entries(), ([index, { placement, rotate, ...decky }]) => ({
      ...decky,
      rotate: parseRotation(rotate, `fleet.deckies[${index}].rotate`, catalog),
      placement: toPlacement(placement),
      services: decky.services.map(({ slug, config }) => ({ slug, config })),
    })),
  };
}
