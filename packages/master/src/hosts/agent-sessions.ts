import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import type { HostRegistry } from "../links/host-registry.ts";
import { secondAgentEvent } from "../model/events.ts";
import type { Host } from "../model/host.ts";
import type { Store } from "../store/store.ts";

/** The connection that a call came over: an object that lives as long as it, with the address of its other end. */
export interface CallerConnection {
  readonly address: string;
}

/** Who calls: over which connection, and which agent it says it is. No copy of a key or of a disk knows a running agent's id. */
export interface AgentCaller {
  readonly from: CallerConnection;
  readonly instanceId: string;
}

type Named = Pick<Host, "id" | "name">;

/**
 * Which connection speaks for each worker: the one that the agent registered over which serves its host now. Anybody else with
 * the same key has a copy of it; that is refused, and told with both addresses.
 */
export interface AgentSessions {
  /** Throws HOST_ALREADY_CONNECTED while an agent with another instance id is connected and answers. */
  requireFirst(host: Named, caller: AgentCaller): Promise<void>;
  begin(host: Named, caller: AgentCaller): void;
  /** Which agent began a session for the host last; empty for none. */
  agentOf(hostId: string): string;
  /** Throws HOST_ALREADY_CONNECTED when the call comes from beside the session that serves the host. */
  requireOwn(host: Named, caller: AgentCaller, what: string): Promise<void>;
  /** A second agent was refused somewhere else. */
  noteSecond(host: Named, address: string, what: string): Promise<void>;
}

export interface AgentSessionsOptions {
  readonly store: Pick<Store, "hosts" | "events" | "audit" | "transaction">;
  readonly registry: HostRegistry;
  /** The agent of a host that another master holds, and whether it answers there. */
  readonly elsewhere: {
    agentOf(host: string): Promise<{ readonly agent: string; readonly place: string } | undefined>;
    answers(host: string): Promise<boolean>;
  };
  readonly log: Logger;
}

/** Somebody who tries again and again is told of once in a while. */
const againMs = 60_000;
const mostRemembered = 1_000;

export function createAgentSessions({ store, registry, elsewhere, log }: AgentSessionsOptions): AgentSessions {
  const sessions = new Map<string, AgentCaller>();
  const told = new Map<string, number>();

  const tell = async (host: Named, address: string, first: string, what: string): Promise<string> => {
    const message = `a second agent with the identity of ${host.name} ${what} from ${address}; the one from ${first} goes on`;
    const key = `${host.id} ${address} ${first}`;
    if (Date.now() - (told.get(key) ?? Number.NEGATIVE_INFINITY) < againMs) return message;
    if (told.size >= mostRemembered) told.clear();
    told.set(key, Date.now());
    log.warn("a second agent with one identity", { host: host.name, address, connectedFrom: first, what });
    await store.hosts.note(host.id, { message });
    await store.audit.recordOften({
      actor: `host ${host.name}`,
      action: "agent/second",
      target: host.name,
      outcome: "HOST_ALREADY_CONNECTED",
      operationId: "",
      reason: message,
      peer: address,
    });
    await store.transaction(async (tx) => store.events.append(tx, secondAgentEvent(host.name, address, first, message)));
    store.events.wake();
    return message;
  };

  const refuse = async (host: Named, address: string, first: string, what: string): Promise<never> => {
    const message = await tell(host, address, first, what);
    throw new AppError("HOST_ALREADY_CONNECTED", message, { metadata: { host: host.name } });
  };

  return {
    async requireFirst(host, { instanceId, from: { address } }) {
      const present = registry.connected(host.name);
      const other = present === undefined ? await elsewhere.agentOf(host.name) : undefined;
      if (other !== undefined && other.agent !== instanceId && (await elsewhere.answers(host.name)))
        await refuse(host, address, `another master (${other.place})`, "called");
      if (present === undefined || present.id !== host.id || sessions.get(host.id)?.instanceId === instanceId) return;
      if (!(await present.answers())) return present.close();
      await refuse(host, address, present.address, "called");
    },
    begin: (host, caller) => void sessions.set(host.id, caller),
    agentOf: (hostId) => sessions.get(hostId)?.instanceId ?? "",
    async requireOwn(host, { instanceId, from }, what) {
      const session = sessions.get(host.id);
      const present = registry.connected(host.name);
      // While nobody serves the host, nobody is disturbed: whoever holds a certificate that counts may come back.
      if (session === undefined || present?.id !== host.id || session.from === from) return;
      if (instanceId !== "" && session.instanceId === instanceId) return;
      await refuse(host, from.address, present.address, what);
    },
    async noteSecond(host, address, what) {
      const first = registry.connected(host.name)?.address;
      if (first !== undefined) await tell(host, address, first, what);
    },
  };
}
