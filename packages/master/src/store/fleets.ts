import type { DriftPolicy, FleetSettings } from "../model/decky.ts";
import type { Database, Tx } from "./database.ts";
import { Fleets } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertRows } from "./write.ts";

/** What the fleet's deckies have in common: one row. */
export interface FleetStore {
  driftPolicy(): Promise<DriftPolicy>;
  /** Undefined when no fleet was ever applied. */
  settings(tx: Tx): Promise<FleetSettings | undefined>;
  replace(tx: Tx, settings: Omit<FleetSettings, "id" | "updatedAt">): Promise<void>;
  /** Changes that choose addresses or hosts for deckies exclude each other until the transaction ends. */
  lockPlacement(tx: Tx): Promise<void>;
}

const placementLock = 7_233_003;

export function createFleetStore(database: Database): FleetStore {
  return {
    async driftPolicy() {
      const rows = await database.run<{ drift_policy: DriftPolicy }>(
        { name: "decnet-drift-policy", text: "SELECT drift_policy FROM fleet" },
        [],
      );
      return rows[0]?.drift_policy ?? "repair";
    },
    async settings(tx) {
      return (await managerOf(tx).getRepository(Fleets).find())[0];
    },
    async replace(tx, settings) {
      await managerOf(tx).query("DELETE FROM fleet");
      await insertRows(tx, Fleets, [{ ...settings, id: 1, updatedAt: new Date() }]);
    },
    async lockPlacement(tx) {
      await managerOf(tx).query("SELECT pg_advisory_xact_lock($1)", [placementLock]);
    },
  };
}
