import { randomInt } from "node:crypto";
import { firstDelayMs } from "../decide/rotation.ts";
import type { PresentDeckies } from "../decide/topology/difference.ts";
import type { TakenSubnet } from "../decide/topology/validate.ts";
import type { Design, Topology } from "../model/topology.ts";
import type { Tx } from "../store/database.ts";
import type { WantedRotation } from "../store/rotations.ts";
import type { Store } from "../store/store.ts";

/** What a design is compared with, and what follows from it besides its deckies. */

/** What the fleet and the topologies but one have, wherever they are. */
export async function takenHere(
  tx: Tx,
  besides: string,
  { topologies, fleets }: Pick<Store, "topologies" | "fleets">,
): Promise<TakenSubnet[]> {
  const others = (await topologies.inUse(tx)).filter(({ id }) => id !== besides);
  const fleet = await fleets.settings(tx);
  return [
    ...(fleet === undefined ? [] : [{ subnet: fleet.lan.subnet, holder: "the fleet's LAN" }]),
    ...others.flatMap(({ name, design }) => design.lans.map(({ subnet }) => ({ subnet, holder: `the topology ${name}` }))),
  ];
}

export async function presentOf(tx: Tx, { id }: Topology, { deckies }: Pick<Store, "deckies">): Promise<PresentDeckies> {
  const present = await deckies.ofScope(tx, id);
  return { deckies: present, services: await deckies.desiredServices(tx, present) };
}

export const random = () => randomInt(1 << 30) / (1 << 30);

/** Services of a deployed decky are its own matter: none of them are asked for again. */
export function rotationsOf({ deckies }: Design): WantedRotation[] {
  return deckies.flatMap(({ id, rotation: setting }) =>
    setting === undefined
      ? []
      : [{ deckyId: id, setting, startDigest: "", firstDelayMs: firstDelayMs(setting.everySeconds, random) }],
  );
}
