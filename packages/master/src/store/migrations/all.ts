import { Initial1764000000000 } from "./1764000000000-initial.ts";
import { FleetSize1764100000000 } from "./1764100000000-fleet-size.ts";
import { Swarm1764200000000 } from "./1764200000000-swarm.ts";
import { Moves1764350000000 } from "./1764350000000-moves.ts";
import { Versions1764500000000 } from "./1764500000000-versions.ts";
import { Receipts1764600000000 } from "./1764600000000-receipts.ts";
import { Exits1764630000000 } from "./1764630000000-exits.ts";
import { Cancellers1764680000000 } from "./1764680000000-cancellers.ts";
import { Retention1764710000000 } from "./1764710000000-retention.ts";
import { Keys1764730000000 } from "./1764730000000-keys.ts";
import { Restored1764730000001 } from "./1764730000001-restored.ts";
import { Attachments1764800000000 } from "./1764800000000-attachments.ts";
import { Topologies1764800000001 } from "./1764800000001-topologies.ts";
import { Rotations1764910000000 } from "./1764910000000-rotations.ts";
import { Scopes1764910000001 } from "./1764910000001-scopes.ts";
import { Relays1764920000000 } from "./1764920000000-relays.ts";
import { Masters1764930000000 } from "./1764930000000-masters.ts";
import { Webhooks1764940000000 } from "./1764940000000-webhooks.ts";
import { TopologyEdits1764950000000 } from "./1764950000000-topology-edits.ts";

/** All of them, the oldest first. */
export const migrations = [
  Initial1764000000000,
  FleetSize1764100000000,
  Swarm1764200000000,
  Moves1764350000000,
  Versions1764500000000,
  Receipts1764600000000,
  Exits1764630000000,
  Cancellers1764680000000,
  Retention1764710000000,
  Keys1764730000000,
  Restored1764730000001,
  Attachments1764800000000,
  Topologies1764800000001,
  Rotations1764910000000,
  Scopes1764910000001,
  Relays1764920000000,
  Masters1764930000000,
  Webhooks1764940000000,
  TopologyEdits1764950000000,
] as const;
