import { createClient } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { AgentService } from "@decnet/contract/gen/decnet/v1/agent_pb";
import type { LeaseStore } from "../store/leases.ts";
import type { Elsewhere } from "./host-registry.ts";
import type { PeerTransports } from "./peer-transports.ts";
import type { Peers } from "./peers.ts";
import { createRemoteHost } from "./remote-host.ts";

export interface ElsewhereOptions {
  readonly peers: Pick<Peers, "holder" | "others" | "hostNames">;
  readonly transports: Pick<PeerTransports, "to">;
  readonly leases: Pick<LeaseStore, "holder">;
  readonly instance: string;
}

export interface HostsElsewhere extends Elsewhere {
  /** The agent that a host is served by at another master, as the database knows it now. */
  agentOf(host: string): Promise<{ readonly agent: string; readonly place: string } | undefined>;
  /** Whether that agent answers there. A master that cannot be asked may have it: its lease ends by itself. */
  answers(host: string): Promise<boolean>;
}

const askMs = 4_000;

/**
 * The hosts of other masters, and the way to them: whatever is only asked goes through the master that holds the host, and what
 * belongs to nothing is removed by it. What changes a decky is that master's work, which it finds in the database.
 */
export function createElsewhere({ peers, transports, leases, instance }: ElsewhereOptions): HostsElsewhere {
  const holderNow = async (host: string) => {
    const held = peers.others.length === 0 ? undefined : await leases.holder(host, instance);
    return held === undefined ? undefined : { ...held, master: peers.others.find((other) => other.instance === held.instance) };
  };
  return {
    holder: peers.holder,
    get hostNames() {
      return peers.hostNames;
    },
    link(host, holder) {
      const through = `master ${holder.master} (${holder.place})`;
      // One that does not listen for others, or not yet, is still there: only calls to it fail.
      return {
        ...createRemoteHost(host, transports.to(holder.addresses, host), [], through),
        apply: () => Promise.reject(unreachable(host, `${through}, which alone changes it`)),
      };
    },
    async agentOf(host) {
      const held = await holderNow(host);
      return held === undefined ? undefined : { agent: held.agent, place: held.master?.place ?? "" };
    },
    async answers(host) {
      const held = await holderNow(host);
      if (held === undefined) return false;
      const there = createClient(AgentService, transports.to(held.master?.addresses ?? [], host));
      return there.inspect({}, { timeoutMs: askMs }).then(
        ({ connected }) => connected,
        () => true,
      );
    },
  };
}

function unreachable(host: string, where: string): AppError {
  return new AppError("HOST_UNREACHABLE", `host ${host} is connected to ${where}`, { metadata: { host }, retryAfterMs: 5_000 });
}
