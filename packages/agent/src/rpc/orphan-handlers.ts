import type { ServiceImpl } from "@connectrpc/connect";
import type { AgentService } from "@decnet/contract/gen/decnet/v1/agent_pb";
import type { Engine } from "@decnet/engine/engine";
import { belongingsOf } from "@decnet/engine/observe/leftovers";
import { joinBelongings, toOrphansMessage } from "@decnet/engine/wire/orphans";
import type { SpecStore } from "../deckies/spec-store.ts";

export interface OrphanParts {
  readonly engine: Pick<Engine, "orphans" | "removeOrphans">;
  readonly specs: Pick<SpecStore, "list">;
  readonly stopping: AbortSignal;
}

export function createOrphanHandlers({
  engine,
  specs,
  stopping,
}: OrphanParts): Pick<ServiceImpl<typeof AgentService>, "listOrphans" | "removeOrphans"> {
  /** Asked after looking; those that are leaving have theirs until they are gone. */
  const belongingsFor = (request: Parameters<typeof joinBelongings>[0]) => async () =>
    joinBelongings(request, belongingsOf(specs.list().map(({ target }) => target.spec)));
  return {
    async listOrphans(request) {
      return toOrphansMessage(await engine.orphans(request.installation, belongingsFor(request)));
    },
    async removeOrphans(request) {
      const { installation, keys } = request;
      const removal = { installation, keys: new Set(keys), belongings: belongingsFor(request), signal: stopping };
      const removed = await engine.removeOrphans(removal);
      return { removed: removed.map(({ orphan, problem }) => ({ orphan: { ...orphan }, problem })) };
    },
  };
}
