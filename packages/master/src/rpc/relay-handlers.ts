import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import {
  type AgentService,
  AgentServiceStreamLogsResponseSchema,
  ApplyDeckiesResponseSchema,
} from "@decnet/contract/gen/decnet/v1/agent_pb";
import { emptyReceipt } from "@decnet/engine/execute/receipt";
import { parseDeckyRef, parseLanMessage, parseSpecMessage, toRefMessage } from "@decnet/engine/wire/decky-spec";
import { toLogLine } from "@decnet/engine/wire/logs";
import { joinBelongings, toOrphansMessage } from "@decnet/engine/wire/orphans";
import { toOutcomeMessage, toPlanMessage } from "@decnet/engine/wire/outcome";
import { hostHeader } from "../links/peer-transports.ts";
import type { MasterParts } from "./parts.ts";

const nothing = { deckies: new Set<string>(), lans: new Set<string>() };

/**
 * What other masters ask of hosts that are connected here. They only ask, and have what belongs to nothing removed: what
 * changes a decky is stored, and this master does it itself.
 */
export function createRelayHandlers({ hosts, catalog, swarm, stopping }: MasterParts): ServiceImpl<typeof AgentService> {
  const nameOf = ({ requestHeader }: HandlerContext) => requestHeader.get(hostHeader) ?? "";
  const linkOf = (context: HandlerContext) => {
    const host = nameOf(context);
    if (hosts.whereIs(host) === "here") return hosts.link(host);
    throw new AppError("HOST_UNREACHABLE", `host ${host} is not connected to this master`, {
      metadata: { host },
      retryAfterMs: 1_000,
    });
  };
  const refuseWork = (dryRun: boolean) => {
    if (!dryRun)
      throw new AppError("NOT_ALLOWED", "a host is changed by the master that has it, from what is stored", {
        metadata: { needed: "agent", role: "master" },
      });
  };
  return {
    async *applyDeckies(request, context) {
      refuseWork(request.dryRun);
      for (const message of request.deckies) {
        const target = parseSpecMessage(message, catalog);
        const value = toPlanMessage(await linkOf(context).plan(target));
        yield create(ApplyDeckiesResponseSchema, { decky: toRefMessage(target.spec), item: { case: "plan", value } });
      }
    },
    async removeDeckies(request, context) {
      refuseWork(request.dryRun);
      const outcomes = request.deckies.map(async (ref) => {
        const decky = parseDeckyRef(ref);
        const plan = await linkOf(context).plan({ kind: "absent", ...decky });
        return toOutcomeMessage(decky, 0, { plan, receipt: emptyReceipt, judged: undefined, failure: undefined }, new Date());
      });
      return { outcomes: await Promise.all(outcomes) };
    },
    async inspect(_, context) {
      const name = nameOf(context);
      const present = hosts.connected(name);
      if (present === undefined) return { hostName: name, connected: name === hosts.own };
      if (await present.answers()) return { hostName: name, connected: true };
      present.close();
      hosts.detach(name, present);
      return { hostName: name, connected: false };
    },
    readSpecs: async (request, context) => ({
      deckies: [...((await linkOf(context).readSpecs(request.deckies.map(parseDeckyRef))) ?? [])],
    }),
    async prepareImages(request, context) {
      const targets = request.deckies.map((message) => parseSpecMessage(message, catalog));
      const images = await linkOf(context).prepareImages(targets, context.signal);
      return { images: images.map((image) => ({ ...image, outputTail: [...image.outputTail] })) };
    },
    async inspectLan(request, context) {
      const found = await linkOf(context).inspectLan(parseLanMessage(request.lan));
      return { trouble: found?.trouble ?? "", taken: (found?.taken ?? []).map(({ address, holder }) => ({ address, holder })) };
    },
    listOrphans: async (request, context) =>
      toOrphansMessage(await linkOf(context).orphans(request.installation, async () => joinBelongings(request, nothing))),
    async removeOrphans({ installation, keys }, context) {
      linkOf(context);
      const signal = AbortSignal.any([context.signal, stopping]);
      const removal = { host: nameOf(context), installation, keys: new Set(keys), signal };
      const removed = await swarm.orphans.removeForPeer(removal);
      return { removed: removed.map(({ orphan, problem }) => ({ orphan: { ...orphan }, problem })) };
    },
    async *streamLogs(request, context) {
      const { tail, follow } = request;
      const options = { tail, follow, signal: context.signal };
      for await (const entry of linkOf(context).logs(parseDeckyRef(request.decky), request.service, options))
        yield create(AgentServiceStreamLogsResponseSchema, { lines: [toLogLine(entry)] });
    },
  };
}
