import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { inSpan } from "@decnet/common/tracing/spans";
import type { ComposeCli } from "../docker/compose.ts";
import type { EngineApi } from "../docker/engine-api.ts";
import type { CommandResult } from "../docker/run-command.ts";
import type { LanRights } from "../observe/lan.ts";
import type { UserMapping } from "../observe/user-mapping.ts";
import type { Plan, Step, StepOf, StepVerb } from "../plan/plan.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import { deckyKey, type Scope } from "../spec.ts";
import type { Admissions } from "./admissions.ts";
import type { Containment } from "./containment.ts";
import type { Guards } from "./guards.ts";
import type { HostLinks } from "./host-links.ts";
import type { ImageStore } from "./image-store.ts";
import type { LanUse } from "./lan-use.ts";
import type { LeftNetworks } from "./left-networks.ts";
import type { MadeStore } from "./made-containers.ts";
import { pruneSecrets, removeProject, writeProject } from "./project-files.ts";
import type { Publisher } from "./publisher.ts";
import { settle } from "./settle.ts";
import { type FailureReason, StepFailed, throwUnlessDone } from "./step-failed.ts";

export type StepEvent =
  | { readonly kind: "started"; readonly step: Step; readonly at: Date }
  | { readonly kind: "succeeded"; readonly step: Step; readonly at: Date }
  | {
      readonly kind: "failed";
      readonly step: Step;
      readonly at: Date;
      readonly message: string;
      readonly outputTail: readonly string[];
    };

/** Tests stop the process here: before the first step and after every step. */
export type StepBoundary = (boundary: {
  readonly index: number;
  readonly steps: number;
  readonly step: Step | undefined;
}) => Promise<void> | void;

export interface ExecuteContext {
  readonly api: EngineApi;
  readonly compose: ComposeCli;
  readonly images: ImageStore;
  readonly links: HostLinks;
  readonly lanUse: LanUse;
  readonly publisher: Publisher;
  readonly guards: Guards;
  readonly admissions: Admissions;
  readonly instance: string;
  readonly rights: LanRights;
  readonly containment: Containment;
  readonly made: MadeStore;
  readonly left: LeftNetworks;
  readonly decky: { readonly scope: Scope; readonly name: string };
  readonly folder: string;
  readonly users: UserMapping;
  readonly rendered: RenderedDecky | undefined;
  readonly onStep: (event: StepEvent) => Promise<void> | void;
  readonly boundary: StepBoundary;
  readonly signal: AbortSignal;
}

export interface StepFailure {
  readonly step: Step;
  readonly reason: FailureReason;
  readonly message: string;
  readonly outputTail: readonly string[];
}

type Executors = { readonly [K in StepVerb]: (step: StepOf<K>, context: ExecuteContext) => Promise<void> };

/** What goes with the last decky on a network; nothing while it is in use. */
export function releaseNetwork(
  { network, owner, isAdopted }: { readonly network: string; readonly owner: string; readonly isAdopted: boolean },
  {
    api,
    links,
    lanUse,
    containment,
    admissions,
    left,
    signal,
  }: Pick<ExecuteContext, "api" | "links" | "lanUse" | "containment" | "admissions" | "left" | "signal">,
): Promise<void> {
  return lanUse.unlessUsed(network, signal, async () => {
    if (!isAdopted) {
      if (await api.hasContainersOn(network)) return;
      if (owner !== "") await links.removeHelpers(owner, signal);
      await api.removeNetwork(network);
      await left.forget(network, undefined);
    }
    await admissions.release(signal);
    await containment.release(signal);
  });
}

/** A kind of step without an executor does not compile. Executors act and decide nothing. */
const executors: Executors = {
  blocked: async ({ cause }) => {
    throw new StepFailed(cause, []);
  },
  "prepare-image": ({ image }, { images, signal }) => images.prepare(image, signal),
  "create-network": async ({ lan }, { api, links, rights, signal }) => {
    if (lan.driver !== "bridge") await links.requireDriver(lan, signal);
    await api.createNetwork(lan, rights);
  },
  "create-helper": ({ helper }, { links, signal }) => links.ensureHelper(helper, signal),
  "add-route": ({ helper, target, from }, { links, signal }) => links.addRoute(helper, target, from, signal),
  "remove-route": ({ helper, target }, { links, signal }) => links.removeRoute(helper, target, signal),
  admit: ({ target }, { admissions, signal }) => admissions.admit(target, signal),
  contain: ({ lan }, { containment, signal }) => containment.lay(lan, signal),
  "release-network": async ({ target, owner, isAdopted }, context) => {
    await releaseNetwork({ network: target, owner, isAdopted }, context);
    await context.left.forget(target, context.decky);
  },
  "write-project": (_, { folder, users, rendered }) => writeProject(folder, rendered?.files ?? [], users),
  rename: ({ id, target }, { api }) => api.rename(id, target),
  "leave-network": ({ id, target }, { api }) => api.leaveNetwork(target, id),
  guard: async ({ target, guard }, { api, guards, signal }) => guards.lay(guard, (await api.inspect(target))?.pid ?? 0, signal),
  create: ({ container }, context) => up(container, false, context),
  recreate: ({ container }, context) => up(container, true, context),
  start: ({ id }, { api }) => api.start(id),
  restart: ({ id, graceSeconds }, { api }) => api.restart(id, graceSeconds),
  stop: ({ id, graceSeconds }, { api }) => api.stop(id, graceSeconds),
  remove: ({ id }, { api }) => api.remove(id),
  settle: settleService,
  publish: ({ publications }, { publisher, signal }) => publisher.change({ add: publications, remove: [] }, signal),
  unpublish: ({ publications }, { publisher, signal }) => publisher.change({ add: [], remove: publications }, signal),
  "remove-project": async (_, { api, made, left, instance, decky, folder }) => {
    await api.removeVolumes(instance, deckyKey(decky));
    await made.forget(decky);
    await left.forgetDecky(decky);
    await removeProject(folder);
  },
};

const execute = async (step: Step, plan: Plan, context: ExecuteContext): Promise<void> => {
  if (step === plan.steps[0]) await noteLeft(plan, context);
  await (executors[step.verb] as (step: Step, context: ExecuteContext) => Promise<void>)(step, context);
};

/** Before anything of the base goes: a plan that is cut off after that is not made again from what is seen then. */
async function noteLeft({ steps }: Plan, { left, rendered, decky }: ExecuteContext): Promise<void> {
  const networks = steps.filter(({ verb }) => verb === "release-network").map(({ target }) => target);
  if (rendered !== undefined && networks.length > 0) await left.note(decky, networks);
}

const aboutStep = ({ number, target, cause }: Step) => ({
  attributes: { "decnet.step": number, "decnet.target": target, "decnet.cause": cause },
});

/**
 * Runs the steps in order and stops at the first that fails. A failed step is a result; only an abort and an engine that is away
 * throw.
 */
export async function executePlan(plan: Plan, context: ExecuteContext): Promise<StepFailure | undefined> {
  const steps = plan.steps.length;
  await context.boundary({ index: 0, steps, step: undefined });
  for (const [index, step] of plan.steps.entries()) {
    context.signal.throwIfAborted();
    await context.onStep({ kind: "started", step, at: new Date() });
    try {
      await inSpan(`step ${step.verb}`, aboutStep(step), () => execute(step, plan, context));
    } catch (error) {
      context.signal.throwIfAborted();
      if (error instanceof AppError && error.reason === "ENGINE_UNAVAILABLE") throw error;
      const message = error instanceof Error ? error.message : String(error);
      const outputTail = error instanceof StepFailed || error instanceof AppError ? error.outputTail : [];
      await context.onStep({ kind: "failed", step, at: new Date(), message, outputTail });
      return { step, reason: error instanceof StepFailed ? error.reason : "APPLY_FAILED", message, outputTail };
    }
    await context.onStep({ kind: "succeeded", step, at: new Date() });
    await context.boundary({ index: index + 1, steps, step });
  }
  if (context.rendered !== undefined) await pruneSecrets(context.folder, context.rendered.files);
  return undefined;
}

/** A name that a killed command of ours has is waited for, for three seconds in all. */
const mostTries = 5;
const againMs = 300;

/** What was made is noted at once: what is there later may be somebody else's. */
async function up(service: string, recreate: boolean, context: ExecuteContext): Promise<void> {
  const { api, compose, images, made, decky, rendered, folder, signal } = context;
  const image = rendered?.services.find(({ name }) => name === service)?.image;
  if (image !== undefined) await images.confirm(image);
  await made.note(decky, { [service]: undefined });
  const run = () => compose.up({ project: rendered?.project ?? "", folder, service, recreate, signal });
  let result = await run();
  for (let tries = 1; tries < mostTries && (await clearWay(service, result, context)); tries += 1) {
    // Who has the name may not be listed yet: the engine gives names away before it makes the containers.
    await delay(againMs * tries, undefined, { signal });
    result = await run();
  }
  throwUnlessDone(result, `starting ${service}`);
  await made.note(decky, { [service]: (await api.inspect(service))?.traits });
}

/**
 * A compose that is killed leaves what it had asked for to the engine, which may make it only after the next life has looked.
 * What it was to replace something with has a name of compose's own, `0123456789ab_web-ssh`: the next compose removes that while
 * it makes its own of the same name, and fails. Removes such a one, and returns whether a name of ours was in the way.
 */
async function clearWay(service: string, { ended, exitCode, tail }: CommandResult, context: ExecuteContext): Promise<boolean> {
  if (ended !== "exit" || exitCode === 0) return false;
  const [, taken = ""] = /container name "\/([^"]+)" is already in use/.exec(tail.join("\n")) ?? [];
  const isHalfMade = /^[0-9a-f]{12}_/.test(taken) && taken.slice(13) === service;
  if (taken !== service && !isHalfMade) return false;
  const { api, instance } = context;
  const holder = (await api.nameHolders(instance, [taken])).get(taken);
  if (holder?.isOurs === false) return false;
  if (holder !== undefined && isHalfMade) await api.remove(holder.id);
  return true;
}

async function settleService({ container }: StepOf<"settle">, { api, rendered, signal }: ExecuteContext): Promise<void> {
  const service = rendered?.services.find((candidate) => candidate.name === container);
  if (service === undefined) throw new Error(`no service ${container} in this decky`);
  const settled = await settle(api, service, signal);
  if (!settled.ok) throw new StepFailed(settled.message, await api.logTail(container, 20));
}
