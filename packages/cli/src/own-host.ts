import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Host, HostSchema, HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import type { Connection } from "./connection.ts";

/** The master's own host. It is no worker: no certificate, no connection. */
export const ownHost = "local";

/** What can be said of it: that it is there, and how its deckies are. Without one whose state is known, its engine is away. */
export async function readOwnHost({ fleet, access }: Connection): Promise<Host> {
  const [{ counts }, { serverVersion, serverTime }] = await Promise.all([
    fleet.listDeckies({ filter: `host=${ownHost}`, pageSize: 1 }),
    access.whoAmI({}),
  ]);
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const isAway = total > 0 && counts["unknown"] === total;
  return create(HostSchema, {
    name: ownHost,
    state: isAway ? HostState.UNREACHABLE : HostState.CONNECTED,
    deckies: counts,
    facts: { agentVersion: serverVersion },
    lastSeen: isAway ? undefined : (serverTime ?? timestampFromMs(Date.now())),
    message: isAway ? "the master does not reach its own Docker engine" : "",
  });
}
