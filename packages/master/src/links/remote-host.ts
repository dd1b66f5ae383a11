import type { Transport } from "@connectrpc/connect";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { cleanLine } from "@decnet/common/runtime/foreign-text";
import { isTracing } from "@decnet/common/tracing/spans";
import { AgentService, type ApplyDeckiesResponse } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { metadataKeys } from "@decnet/contract/reasons";
import { toLanMessage, toRefMessage, toSpecMessage } from "@decnet/engine/wire/decky-spec";
import { fromLogLine } from "@decnet/engine/wire/logs";
import { fromOrphansMessage, toBelongingsMessage } from "@decnet/engine/wire/orphans";
import { fromOutcomeMessage, fromPlanMessage, fromStepMessage, type HostOutcome } from "@decnet/engine/wire/outcome";
import { createGatheredApplies } from "./gathered-applies.ts";
import { type HostLink, isAway } from "./host-link.ts";

const quickMs = 10_000;
const orphansMs = 30_000;
/** Many containers may have to be stopped, one after another. */
const orphansRemovalMs = 10 * 60_000;
/** Of one apply: no plan has so many steps. */
const mostTold = 10_000;
/** Many images may have to be built, one after another. */
const imagesMs = 60 * 60_000;

/**
 * A worker, over the connection that its agent opened. A connection that breaks is HOST_UNREACHABLE: what the agent had
 * accepted by then goes on there. `through` says which master the calls go through, when it is not this one.
 */
export function createRemoteHost(name: string, transport: Transport, warnings: readonly string[], through = ""): HostLink {
  const agent = createClient(AgentService, transport);
  const gathered = createGatheredApplies(agent);
  const guarded = async <T>(signal: AbortSignal | undefined, call: () => Promise<T>): Promise<T> => {
    try {
      return await call();
    } catch (error) {
      signal?.throwIfAborted();
      throw translate(name, error, through);
    }
  };
  return {
    name,
    warnings,
    plan: (target) =>
      guarded(undefined, async () => {
        if (target.kind === "absent") {
          const { outcomes } = await agent.removeDeckies(
            { deckies: [toRefMessage(target)], dryRun: true },
            { timeoutMs: quickMs },
          );
          return fromPlanMessage(outcomes[0]?.plan);
        }
        const request = { deckies: [toSpecMessage(target)], dryRun: true };
        for await (const { item } of agent.applyDeckies(request, { timeoutMs: quickMs }))
          if (item.case === "plan") return fromPlanMessage(item.value);
        throw unreachable(name, "the agent answered no plan");
      }),
    apply: (target, { expectedDigest, onPlan, onStep, signal }) =>
      guarded(signal, async () => {
        if (target.kind === "absent") {
          const { outcomes } = await agent.removeDeckies({ deckies: [toRefMessage(target)] }, { signal });
          const [first] = outcomes;
          if (first === undefined) throw unreachable(name, "the agent answered no outcome");
          const outcome = fromOutcomeMessage(first);
          await onPlan(outcome.plan);
          return outcome;
        }
        let outcome: HostOutcome | undefined;
        let told = 0;
        const onItem = async ({ case: kind, value }: ApplyDeckiesResponse["item"]) => {
          told += 1;
          if (told > mostTold) throw unreachable(name, `its agent told more than ${mostTold} steps of one apply`);
          if (kind === "plan") await onPlan(fromPlanMessage(value));
          else if (kind === "step") await onStep(fromStepMessage(value));
          else if (kind === "outcome") outcome = fromOutcomeMessage(value);
        };
        // A plan is expected of one decky; and so that each has its place in its own trace, traced ones go alone.
        const isShared = expectedDigest === "" && !isTracing();
        const end = isShared ? await gathered.apply({ target, onItem, signal }) : undefined;
        if (end?.kind === "failed" && (end.wasAlone || isAway(translate(name, end.error, through)))) throw end.error;
        if (end === undefined || end.kind === "failed") {
          const request = { deckies: [toSpecMessage(target)], expectedPlan: expectedDigest };
          for await (const { item } of agent.applyDeckies(request, { signal })) await onItem(item);
        }
        if (outcome === undefined) throw unreachable(name, "the connection ended before the outcome");
        return outcome;
      }),
    async *logs(decky, slug, { tail, follow, signal }) {
      const request = { decky: toRefMessage(decky), service: slug, tail, follow };
      try {
        for await (const { lines } of agent.streamLogs(request, { signal })) yield* lines.map(fromLogLine);
      } catch (error) {
        if (signal.aborted) return;
        throw translate(name, error, through);
      }
    },
    prepareImages: (targets, signal) =>
      guarded(signal, async () => {
        const request = { deckies: targets.map(toSpecMessage) };
        return (await agent.prepareImages(request, { timeoutMs: imagesMs, signal })).images;
      }),
    async inspectLan(lan) {
      try {
        return await agent.inspectLan({ lan: toLanMessage(lan) }, { timeoutMs: quickMs });
      } catch (error) {
        // An agent from before this call; its own plans say what is in the way.
        if (ConnectError.from(error).code === Code.Unimplemented) return undefined;
        throw translate(name, error, through);
      }
    },
    async hostSubnets() {
      try {
        return (await agent.inspectLan({}, { timeoutMs: quickMs })).subnets;
      } catch (error) {
        // An agent from before this question wants to know which LAN is meant.
        const { code } = ConnectError.from(error);
        if (code === Code.Unimplemented || code === Code.InvalidArgument) return undefined;
        throw translate(name, error, through);
      }
    },
    orphans: (installation, belongings) =>
      withOrphans(name, through, async () => {
        const request = { installation, ...toBelongingsMessage(await belongings()) };
        return fromOrphansMessage(await agent.listOrphans(request, { timeoutMs: orphansMs }));
      }),
    removeOrphans: ({ installation, keys, belongings, signal }) =>
      withOrphans(name, through, async () => {
        const request = { installation, keys: [...keys], ...toBelongingsMessage(await belongings()) };
        const { removed } = await agent.removeOrphans(request, { signal, timeoutMs: orphansRemovalMs });
        return removed.flatMap(({ orphan, problem }) => (orphan === undefined ? [] : [{ orphan, problem }]));
      }),
    async readSpecs(deckies) {
      try {
        return (await agent.readSpecs({ deckies: deckies.map(toRefMessage) }, { timeoutMs: quickMs })).deckies;
      } catch (error) {
        // An agent from before this call.
        if (ConnectError.from(error).code === Code.Unimplemented) return undefined;
        throw translate(name, error, through);
      }
    },
    ping: () => guarded(undefined, async () => void (await agent.inspect({}, { timeoutMs: quickMs }))),
  };
}

async function withOrphans<T>(host: string, through: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (ConnectError.from(error).code !== Code.Unimplemented) throw translate(host, error, through);
    throw new AppError("VERSION_SKEW", `the agent of ${host} is too old to look for orphans: update it`, { metadata: { host } });
  }
}

/** What the agent refused keeps its reason; all else means that it did not answer. Its words are as foreign as its answers. */
function translate(name: string, error: unknown, through: string): unknown {
  if (error instanceof AppError) return error;
  const failure = fromConnectError(error);
  const { code } = ConnectError.from(error);
  const message = cleanLine(failure.message, mostText);
  if (failure.reason === "INTERNAL" && !/correlation id/.test(message))
    return isUnusable(code, message)
      ? new AppError("APPLY_FAILED", `${name}: its agent's answer is of no use: ${message}`, {
          metadata: { host: name },
          cause: error,
        })
      : unreachable(name, message, error, through);
  const isConnection = [Code.Unavailable, Code.Canceled, Code.Aborted, Code.DeadlineExceeded, Code.Unknown].includes(code);
  if (isConnection && (failure.reason === "HOST_UNREACHABLE" || failure.reason === "WAIT_ENDED" || failure.reason === "INTERNAL"))
    return unreachable(name, message, error, through);
  if (failure.reason === "SHUTTING_DOWN") return unreachable(name, "its agent is stopping", error, through);
  return new AppError(failure.reason, `${name}: ${message}`, {
    metadata: { ...admitMetadata(failure.metadata), host: name },
    violations: failure.violations.slice(0, mostViolations).map(({ field, description }) => ({
      field: cleanLine(field, mostText),
      description: cleanLine(description, mostText),
    })),
    cause: error,
  });
}

/** Answers that come again when the same is asked again, unlike those of a connection that breaks. */
const permanent: readonly Code[] = [
  Code.Unimplemented,
  Code.NotFound,
  Code.AlreadyExists,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.DataLoss,
];

function isUnusable(code: Code, message: string): boolean {
  return permanent.includes(code) || /^parse binary|larger than configured/.test(message);
}

const mostText = 1_000;
const mostViolations = 20;

/** Only keys that have a meaning: they fill the commands that people are advised to run. */
function admitMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).flatMap(([key, value]) =>
      Object.hasOwn(metadataKeys, key) ? [[key, cleanLine(value, mostText)]] : [],
    ),
  );
}

function unreachable(name: string, why: string, cause?: unknown, through = ""): AppError {
  const way = through === "" ? "" : ` through ${through}`;
  return new AppError("HOST_UNREACHABLE", `host ${name} does not answer${way}: ${why}`, {
    metadata: { host: name },
    retryAfterMs: 5_000,
    cause,
  });
}
