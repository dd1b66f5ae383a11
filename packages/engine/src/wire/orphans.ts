import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  AgentServiceListOrphansRequest,
  AgentServiceListOrphansResponse,
  AgentServiceListOrphansResponseSchema,
} from "@decnet/contract/gen/decnet/v1/agent_pb";
import type { HostBelongings, HostOrphans } from "../observe/leftovers.ts";
import { deckyKey } from "../spec.ts";
import { parseDeckyRef, toRefMessage } from "./decky-spec.ts";

/** So many are told at once: when they are gone, the others are. */
const mostTold = 5_000;

export function toOrphansMessage({
  orphans,
  others,
  unseen,
}: HostOrphans): MessageInitShape<typeof AgentServiceListOrphansResponseSchema> {
  return {
    orphans: orphans.slice(0, mostTold).map((orphan) => ({ ...orphan })),
    others: others.slice(0, mostTold).map(({ isKept, ...other }) => ({ ...other, kept: isKept })),
    unseen: [...unseen],
  };
}

export function fromOrphansMessage({ orphans, others, unseen }: AgentServiceListOrphansResponse): HostOrphans {
  return {
    orphans,
    others: others.map(({ installation, count, standing, kept }) => ({ installation, count, standing, isKept: kept })),
    unseen,
  };
}

export function toBelongingsMessage({ deckies, lans }: HostBelongings) {
  const refs = [...deckies].map((key) => {
    const [scope = "", name = ""] = key.split("/");
    return toRefMessage({ scope, name });
  });
  return { deckies: refs, lans: [...lans] };
}

/** What the master says, with what this host knows itself: whoever has forgotten something does not make an orphan of it. */
export function joinBelongings(
  { deckies, lans }: Pick<AgentServiceListOrphansRequest, "deckies" | "lans">,
  own: HostBelongings,
): HostBelongings {
  return {
    deckies: new Set([...deckies.map((ref) => deckyKey(parseDeckyRef(ref))), ...own.deckies]),
    lans: new Set([...lans, ...own.lans]),
  };
}
