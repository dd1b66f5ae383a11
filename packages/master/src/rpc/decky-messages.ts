import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DeckySchema } from "@decnet/contract/gen/decnet/v1/decky_pb";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Decky } from "../model/decky.ts";
import { messageOf } from "../model/standing.ts";
import type { ShownDecky } from "../store/deckies.ts";
import { toDeckyMessage } from "./messages.ts";
import type { MasterParts } from "./parts.ts";

/** Deckies as messages, with what the master knows of their hosts now. */
export function createDeckyMessages({
  hosts,
  catalog,
  converger,
}: Pick<MasterParts, "hosts" | "catalog" | "converger">): (shown: ShownDecky) => MessageInitShape<typeof DeckySchema> {
  const warningsOf = (row: Decky) => (hosts.isReachable(row.host) ? hosts.link(row.host).warnings : []);
  const around = ({ id }: Decky) => ({
    isReachable: hosts.isReachable,
    removalTrouble: (host: string) => converger.removalTrouble(id, host),
  });
  return ({ decky, services, seenAt, rotation }) =>
    toDeckyMessage(
      { ...decky, message: messageOf(decky, around(decky)) },
      { services, seenAt: lastSeen(decky, seenAt, hosts), rotation },
      catalog,
      warningsOf(decky),
    );
}

/** A worker says what changed, and how long ago it checked: what it does not speak of is as it was. */
function lastSeen(decky: Decky, stored: Date | undefined, hosts: HostRegistry): Date | undefined {
  const isKnown = decky.state !== "changing" && decky.state !== "unknown";
  const checked = isKnown ? hosts.connected(decky.host)?.checkedAt() : undefined;
  return stored !== undefined && checked !== undefined && checked > stored ? checked : stored;
}
