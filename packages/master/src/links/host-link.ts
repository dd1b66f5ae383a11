import { Code } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import type { DeckySpec as DeckySpecMessage } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { reasons } from "@decnet/contract/reasons";
import type { CheckedDecky, Engine, PreparedImage } from "@decnet/engine/engine";
import type { OrphanRemoval, RemovedOrphan } from "@decnet/engine/host/orphans";
import type { HostSubnet } from "@decnet/engine/observe/host-subnets";
import type { HostBelongings, HostOrphans } from "@decnet/engine/observe/leftovers";
import type { LogEntry } from "@decnet/engine/observe/logs";
import type { ObservedDecky } from "@decnet/engine/observe/observed";
import type { PlanView } from "@decnet/engine/plan/plan";
import type { DeckySpec, LanSpec } from "@decnet/engine/spec";
import type { HostTarget, PresentTarget } from "@decnet/engine/wire/decky-spec";
import type { HostOutcome, StepReport } from "@decnet/engine/wire/outcome";
import type { LanOnHost } from "../model/lan.ts";

export interface HostApplyOptions {
  /** Refuse with PLAN_CHANGED unless the plan made now has this digest. Empty: any plan. */
  readonly expectedDigest: string;
  readonly onPlan: (plan: PlanView) => Promise<void> | void;
  readonly onStep: (event: StepReport) => Promise<void> | void;
  readonly signal: AbortSignal;
}

/** All that convergence knows of a host. A host that does not answer throws; it never looks like an empty one. */
export interface HostLink {
  readonly name: string;
  readonly warnings: readonly string[];
  plan(target: HostTarget): Promise<PlanView>;
  apply(target: HostTarget, options: HostApplyOptions): Promise<HostOutcome>;
  logs(
    decky: Pick<DeckySpec, "scope" | "name">,
    slug: string,
    options: { tail: number; follow: boolean; signal: AbortSignal },
  ): AsyncIterable<LogEntry>;
  /** Gets images onto the host before anything needs them. Those that could not be had are in the result. */
  prepareImages(targets: readonly PresentTarget[], signal: AbortSignal): Promise<readonly PreparedImage[]>;
  /** Whether the host can have a LAN, and who has addresses on it. Undefined: it does not tell. */
  inspectLan(lan: LanSpec): Promise<LanOnHost | undefined>;
  /** Which networks are taken on the host. Undefined: it does not tell. */
  hostSubnets(): Promise<readonly HostSubnet[] | undefined>;
  /** What the host was told to run, as it has it. Undefined: it does not tell. */
  readSpecs(deckies: readonly Pick<DeckySpec, "scope" | "name">[]): Promise<readonly DeckySpecMessage[] | undefined>;
  /** What carries our mark there and belongs to nothing, or all of another installation. Throws VERSION_SKEW. */
  orphans(installation: string, belongings: () => Promise<HostBelongings>): Promise<HostOrphans>;
  removeOrphans(removal: OrphanRemoval): Promise<readonly RemovedOrphan[]>;
  ping(): Promise<void>;
}

/** The master's own host: the engine in this process. Nobody reports about it, so that the master looks itself. */
export interface LocalHost extends HostLink {
  check(specs: readonly DeckySpec[]): Promise<{ deckies: ReadonlyMap<string, CheckedDecky>; strays: readonly ObservedDecky[] }>;
}

/** Whether a host could not be asked; of the master's own, whose errors name no host, its engine. */
export function isAway(error: unknown): error is AppError {
  if (!(error instanceof AppError)) return false;
  return error.reason === "HOST_UNREACHABLE" || (error.reason === "ENGINE_UNAVAILABLE" && error.metadata["host"] === undefined);
}

/** Codes of what may be otherwise when it is asked again. */
const passing: ReadonlySet<Code> = new Set([Code.Unavailable, Code.ResourceExhausted, Code.DeadlineExceeded, Code.Internal]);

/**
 * Whether a host that could be asked refused for good: the same question would get the same answer for ever. What a host cannot
 * observe is such an answer, too: nothing is done on it.
 */
export function isRefusal(error: unknown): error is AppError {
  if (!(error instanceof AppError)) return false;
  return error.reason === "NOT_OBSERVED" || !passing.has(reasons[error.reason].code);
}

export function createLocalHost(name: string, engine: Engine): LocalHost {
  return {
    ...engine,
    name,
    get warnings() {
      return engine.warnings;
    },
    plan: async (target) => (await engine.plan(target)).plan,
    readSpecs: async () => undefined,
    prepareImages: (targets, signal) =>
      engine.prepareImages(
        targets.map(({ spec }) => spec),
        signal,
      ),
  };
}
