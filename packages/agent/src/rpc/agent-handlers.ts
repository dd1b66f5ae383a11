import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { mergeStreams } from "@decnet/common/runtime/merge-streams";
import {
  type AgentService,
  AgentServiceStreamLogsResponseSchema,
  type ApplyDeckiesResponse,
  type DeckyOutcome,
} from "@decnet/contract/gen/decnet/v1/agent_pb";
import type { Catalog } from "@decnet/engine/catalog/types";
import type { Engine } from "@decnet/engine/engine";
import { emptyReceipt } from "@decnet/engine/execute/receipt";
import { deckyKey } from "@decnet/engine/spec";
import { parseDeckyRef, parseLanMessage, parseSpecMessage, toRefMessage, toSpecMessage } from "@decnet/engine/wire/decky-spec";
import { toLogLine } from "@decnet/engine/wire/logs";
import { toObservationMessage, toOutcomeMessage, toPlanMessage, toStepMessage } from "@decnet/engine/wire/outcome";
import type { Runner } from "../deckies/runner.ts";
import type { SpecStore } from "../deckies/spec-store.ts";
import type { Watch } from "../deckies/watch.ts";
import { createOrphanHandlers } from "./orphan-handlers.ts";
import { createProgressChannel } from "./progress-channel.ts";

export interface AgentParts {
  readonly catalog: Catalog;
  readonly engine: Pick<Engine, "check" | "prepareImages" | "logs" | "inspectLan" | "hostSubnets" | "orphans" | "removeOrphans">;
  readonly specs: Pick<SpecStore, "get" | "list">;
  readonly runner: Pick<Runner, "plan" | "apply" | "remove">;
  readonly hostId: string;
  readonly hostName: () => string;
  readonly engineVersions: () => { readonly engine: string; readonly compose: string };
  readonly isConnected: () => boolean;
  readonly queuedReports: () => number;
  readonly outcomes: Pick<Watch, "noteOutcome" | "forgetOutcome">;
  readonly stopping: AbortSignal;
}

export function createAgentHandlers(parts: AgentParts): ServiceImpl<typeof AgentService> {
  const { catalog, engine, specs, runner, outcomes } = parts;
  const ignore = () => undefined;
  return {
    ...createOrphanHandlers(parts),
    async *applyDeckies(request, { signal }) {
      const targets = request.deckies.map((message) => parseSpecMessage(message, catalog));
      const progress = createProgressChannel(request.gathered);
      const untold = new Set<DeckyOutcome>();
      // Also when the call is over in good order; then everything was told.
      signal.addEventListener("abort", () => {
        for (const outcome of untold) outcomes.forgetOutcome(outcome);
        untold.clear();
      });
      const applyOne = async (target: (typeof targets)[number]) => {
        const decky = toRefMessage(target.spec);
        const say = (item: ApplyDeckiesResponse["item"]) => progress.push({ decky, item });
        if (request.dryRun) {
          say({ case: "plan", value: toPlanMessage(await runner.plan(target)) });
          return;
        }
        const outcome = await runner.apply(target, {
          expectedDigest: request.expectedPlan,
          onPlan: (plan) => say({ case: "plan", value: toPlanMessage(plan) }),
          onStep: (event) => say({ case: "step", value: toStepMessage(event) }),
        });
        const value = toOutcomeMessage(target.spec, target.spec.revision, outcome, new Date());
        if (!signal.aborted) {
          outcomes.noteOutcome(value);
          untold.add(value);
        }
        say({ case: "outcome", value });
      };
      // The work is not the call's: when the caller goes away it goes on, and the master learns of it from the next drift check.
      // What becomes of one decky keeps nobody from hearing what becomes of the others.
      void Promise.allSettled(targets.map(applyOne)).then((ends) => {
        const failed = ends.find((end) => end.status === "rejected");
        if (failed === undefined) progress.end();
        else progress.fail(failed.reason);
      });
      for await (const message of progress) {
        yield message;
        for (const { item } of [message, ...message.more]) if (item.case === "outcome") untold.delete(item.value);
      }
    },
    async removeDeckies(request) {
      const outcomes = await Promise.all(
        request.deckies.map(async (ref) => {
          const { scope, name } = parseDeckyRef(ref);
          const target = { kind: "absent" as const, scope, name };
          const outcome = request.dryRun
            ? { plan: await runner.plan(target), receipt: emptyReceipt, judged: undefined, failure: undefined }
            : await runner.remove(target, { expectedDigest: "", onPlan: ignore, onStep: ignore });
          return toOutcomeMessage({ scope, name }, 0, outcome, new Date());
        }),
      );
      return { outcomes };
    },
    async readSpecs(request) {
      const accepted = request.deckies.map((ref) => specs.get(deckyKey(parseDeckyRef(ref))));
      return { deckies: accepted.flatMap((each) => (each === undefined || each.leaving ? [] : [toSpecMessage(each.target)])) };
    },
    async inspect(request) {
      const wanted = new Set(request.deckies.map((ref) => deckyKey(parseDeckyRef(ref))));
      const accepted = specs
        .list()
        .filter((decky) => !decky.leaving && (wanted.size === 0 || wanted.has(deckyKey(decky.target.spec))));
      const at = new Date();
      const checked = await engine.check(accepted.map((decky) => decky.target.spec));
      const versions = parts.engineVersions();
      return {
        deckies: accepted.flatMap(({ target: { spec } }) => {
          const seen = checked.deckies.get(deckyKey(spec));
          return seen === undefined ? [] : [toObservationMessage(spec, spec.revision, seen.judged, at)];
        }),
        strays: checked.strays
          .filter((stray) => specs.get(deckyKey(stray)) === undefined)
          .flatMap((stray) => stray.containers.map((container) => container.name)),
        hostId: parts.hostId,
        hostName: parts.hostName(),
        engineVersion: versions.engine,
        composeVersion: versions.compose,
        catalogueDigest: catalog.digest,
        connected: parts.isConnected(),
        queuedReports: parts.queuedReports(),
      };
    },
    async prepareImages(request, context) {
      const targets = request.deckies.map((message) => parseSpecMessage(message, catalog));
      const images = await engine.prepareImages(
        targets.map((target) => target.spec),
        AbortSignal.any([context.signal, parts.stopping]),
      );
      return { images: images.map((image) => ({ ...image, outputTail: [...image.outputTail] })) };
    },
    async inspectLan(request) {
      if (request.lan === undefined) return { subnets: (await engine.hostSubnets()).map((each) => ({ ...each })) };
      const { trouble, taken } = await engine.inspectLan(parseLanMessage(request.lan));
      return { trouble, taken: taken.map(({ address, holder }) => ({ address, holder })) };
    },
    async *streamLogs(request, context) {
      const decky = parseDeckyRef(request.decky);
      const known = specs.get(deckyKey(decky));
      if (known === undefined)
        throw new AppError("DECKY_NOT_FOUND", `there is no decky ${JSON.stringify(decky.name)} on this host`, {
          metadata: { decky: decky.name },
        });
      const signal = AbortSignal.any([context.signal, parts.stopping]);
      const options = { tail: Math.min(request.tail || 100, 10_000), follow: request.follow, signal };
      const slugs = request.service === "" ? known.target.spec.services.map(({ slug }) => slug) : [request.service];
      for await (const entry of mergeStreams(slugs.map((slug) => engine.logs(decky, slug, options))))
        yield create(AgentServiceStreamLogsResponseSchema, { lines: [toLogLine(entry)] });
    },
  };
}
