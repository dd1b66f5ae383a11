import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type KnownMaster, KnownMasterSchema, type WhoAmIResponse } from "@decnet/contract/gen/decnet/v1/access_pb";
import { type Host, HostSchema, HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import type { Connection } from "./connection.ts";

/** What a master's own host is called, unless it was given another name. */
export const ownHost = "local";

/** The own hosts of the masters, that of the one that is asked first. They are no workers: no certificate, no connection. */
export async function readOwnHosts(connection: Connection): Promise<Host[]> {
  const who = await connection.access.whoAmI({});
  return Promise.all(mastersOf(who).map((master) => readOwnHost(connection, master, who)));
}

/** Undefined when no master has a host of this name. */
export async function findOwnHost(connection: Connection, name: string): Promise<Host | undefined> {
  const who = await connection.access.whoAmI({});
  const master = mastersOf(who).find(({ hostName }) => hostName === name);
  return master === undefined ? undefined : readOwnHost(connection, master, who);
}

/** A master from before they had names has one that is called `local`. */
function mastersOf({ hostName, masters }: WhoAmIResponse): KnownMaster[] {
  const own = hostName || ownHost;
  const asked = masters.find((master) => master.hostName === own) ?? create(KnownMasterSchema, { hostName: own });
  return [{ ...asked, isThere: true }, ...masters.filter((master) => master.hostName !== own)];
}

/** What can be said of it: that it is there, and how its deckies are. Without one whose state is known, its engine is away. */
async function readOwnHost({ fleet }: Connection, master: KnownMaster, who: WhoAmIResponse): Promise<Host> {
  const { counts } = await fleet.listDeckies({ filter: `host=${master.hostName}`, pageSize: 1 });
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const message = !master.isThere
    ? "its master is not heard of"
    : total > 0 && counts["unknown"] === total
      ? "the master does not reach its own Docker engine"
      : "";
  const isAsked = master.hostName === (who.hostName || ownHost);
  return create(HostSchema, {
    name: master.hostName,
    state: message === "" ? HostState.CONNECTED : HostState.UNREACHABLE,
    deckies: counts,
    facts: { agentVersion: isAsked ? who.serverVersion : "" },
    lastSeen: message === "" ? (who.serverTime ?? timestampFromMs(Date.now())) : undefined,
    message,
  });
}
