import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import type { Catalogue } from "./catalogue/types.ts";
import { type CommandTimeouts, createComposeCli } from "./docker/compose.ts";
import { createEngineApi, type EngineApi } from "./docker/engine-api.ts";
import {
  executePlan,
  prepareImage,
  type StepBoundary,
  type StepEvent,
  StepFailed,
  type StepFailure,
} from "./execute/execute-plan.ts";
import { createHostLinks, type HostLinks } from "./execute/host-links.ts";
import { createLanUse } from "./execute/lan-use.ts";
import { diskDigest, projectDigest } from "./execute/project-files.ts";
import { makeReceipt, type Receipt } from "./execute/receipt.ts";
import { accessTo, helperOwner, type ObservedLinks } from "./observe/host-access.ts";
import { type JudgedDecky, judgeDecky } from "./observe/judge.ts";
import { type LogEntry, streamContainerLogs } from "./observe/logs.ts";
import {
  baseOf,
  type MadeFrom,
  noLeavings,
  type ObservedContainer,
  type ObservedDecky,
  type ObservedHost,
  type ObservedLeavings,
  type ObservedSockets,
} from "./observe/observed.ts";
import { noSockets, observeSockets } from "./observe/proc-sockets.ts";
import { createSocketCache } from "./observe/socket-cache.ts";
import type { Plan } from "./plan/plan.ts";
import { planDecky } from "./plan/plan-decky.ts";
import { offeredTags, superfluousTags } from "./render/images.ts";
import { deckyNames } from "./render/names.ts";
import { type RenderedDecky, renderDecky } from "./render/render-decky.ts";
import { type DeckySpec, type DeckyTarget, deckyKey, targetKey } from "./spec.ts";
import { distros } from "./tables/distros.ts";

export interface EngineOptions {
  /** Marks what belongs to this installation; nothing without it is touched. */
  readonly instance: string;
  /** Projects live in `<dataDir>/deckies/<name>`. */
  readonly dataDir: string;
  readonly catalogue: Catalogue;
  /** Keyed hash, hex. */
  readonly fingerprint: (text: string) => string;
  readonly socketPath: string;
  readonly timeouts?: CommandTimeouts;
  /** The docker-compose program to run; undefined: found where Docker looks. */
  readonly composePath?: string | undefined;
  /** A build is not begun with less free disk than this; one GiB when not given. */
  readonly minFreeBytes?: number;
  readonly boundary?: StepBoundary;
}

/** For looking at the host's own interfaces. */
const linksMs = 10_000;
/** How old the sockets of a decky may be, in a look at all, while the number of them stays. */
const socketsMs = 6_000;

export interface PlannedDecky {
  readonly plan: Plan;
  readonly observed: ObservedDecky;
}

export interface ApplyOptions {
  /** Refuse with PLAN_CHANGED unless the plan made now has this digest. Empty: any plan. */
  readonly expectedDigest: string;
  /** Called with how the decky was found, before onPlan. */
  readonly onObserved?: (before: ObservedDecky, plan: Plan) => void;
  /** What the containers were made from, as far as it is known. */
  readonly made?: MadeFrom | undefined;
  readonly onPlan: (plan: Plan) => Promise<void> | void;
  readonly onStep: (event: StepEvent) => Promise<void> | void;
  readonly signal: AbortSignal;
}

export interface ApplyOutcome {
  readonly plan: Plan;
  readonly receipt: Receipt;
  readonly observed: ObservedDecky;
  /** Undefined for a decky that is to be gone. */
  readonly judged: JudgedDecky | undefined;
  /** Undefined when the decky is as wanted. */
  readonly failure: StepFailure | undefined;
}

export interface CheckedDecky {
  readonly observed: ObservedDecky;
  readonly judged: JudgedDecky;
  /** What would bring the decky back to its spec; empty when nothing drifted. */
  readonly plan: Plan;
}

/** One host's deckies: observe, plan, execute. The same engine serves the master's own host and every worker. */
export interface Engine {
  readonly warnings: readonly string[];
  plan(target: DeckyTarget): Promise<PlannedDecky>;
  apply(target: DeckyTarget, options: ApplyOptions): Promise<ApplyOutcome>;
  /** Compares every decky with its spec in one look at the engine. `strays` are deckies that have containers and no spec. */
  check(
    specs: readonly DeckySpec[],
    madeOf?: (spec: DeckySpec) => MadeFrom | undefined,
  ): Promise<{ deckies: ReadonlyMap<string, CheckedDecky>; strays: readonly ObservedDecky[] }>;
  logs(
    spec: Pick<DeckySpec, "scope" | "name">,
    slug: string,
    options: { tail: number; follow: boolean; signal: AbortSignal },
  ): AsyncIterable<LogEntry>;
  /** Builds or pulls what the specs need and is not there, one after another. A failure is told and the next one tried. */
  prepareImages(specs: readonly DeckySpec[], signal: AbortSignal): Promise<PreparedImage[]>;
  /** Removes images of ours that nothing needs any more, and says which. */
  pruneImages(): Promise<string[]>;
  ping(): Promise<void>;
}

export interface PreparedImage {
  readonly tag: string;
  /** Empty when the image is there. */
  readonly problem: string;
  readonly outputTail: readonly string[];
}

const imageGraceMs = 86_400_000;

/** Connects to the Docker engine once to learn what it can do. Throws ENGINE_UNAVAILABLE. */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const api = createEngineApi(options.socketPath);
  const compose = createComposeCli(options.socketPath, { pluginPath: options.composePath, timeouts: options.timeouts });
  const links = createHostLinks();
  const sockets = createSocketCache();
  const lanUse = createLanUse();
  const { major, version } = await api.version();
  const pinMac = major >= 25;
  const minFreeBytes = options.minFreeBytes ?? 1 << 30;
  const folderOf = (target: { scope: string; name: string }) =>
    join(options.dataDir, "deckies", deckyNames(target.scope, target.name).base);
  /** Specs never change: one that comes again, look after look, is not rendered again. */
  const renderings = new WeakMap<DeckySpec, RenderedDecky>();
  const renderSpec = (spec: DeckySpec): RenderedDecky => {
    const rendered = renderings.get(spec) ?? renderDecky(spec, { ...options, projectDir: folderOf(spec), pinMac });
    renderings.set(spec, rendered);
    return rendered;
  };
  const render = (target: DeckyTarget): RenderedDecky | undefined =>
    target.kind === "absent" ? undefined : renderSpec(target.spec);

  const portsOf = (slug: string) => options.catalogue.services.get(slug)?.ports.map((port) => port.number) ?? [];
  /** Images, network and files are taken to be there: an apply looks at them itself. */
  const planDrift = (
    wanted: RenderedDecky,
    observed: ObservedDecky,
    seen: ObservedLinks | undefined,
    made: MadeFrom | undefined,
  ): Plan => {
    const images = new Set([wanted.base.image, ...wanted.services.map((service) => service.image.tag)]);
    const host = {
      images,
      networks: new Set([wanted.spec.lan.name]),
      foreignNames: new Set<string>(),
      projectDigest: "",
      access: seen === undefined ? undefined : accessTo(wanted.spec.lan, options.instance, seen),
      leaves: noLeavings,
    };
    return planDecky({ wanted, projectDigest: "", observed, host, made, portsOf, now: Date.now() });
  };

  const prepare = async (target: DeckyTarget, made?: MadeFrom) => {
    const { scope, name } = target.kind === "present" ? target.spec : target;
    const rendered = render(target);
    const folder = folderOf({ scope, name });
    const [observed, host] = await Promise.all([
      observeDecky(api, options.instance, scope, name),
      observeHost(api, links, options.instance, folder, rendered, `${scope}/${name}`),
    ]);
    const plan = planDecky({
      wanted: rendered,
      projectDigest: rendered === undefined ? "" : projectDigest(rendered.files),
      observed,
      host,
      made,
      portsOf,
      now: Date.now(),
    });
    return { rendered, observed, plan, folder, host };
  };

  const apply: Engine["apply"] = async (target, { expectedDigest, onObserved, made, onPlan, onStep, signal }) => {
    const { rendered, observed: before, plan, folder, host } = await prepare(target, made);
    if (expectedDigest !== "" && expectedDigest !== plan.digest)
      throw new AppError("PLAN_CHANGED", "the decky changed on its host since the plan was made", {
        metadata: { expected: expectedDigest, actual: plan.digest },
      });
    onObserved?.(before, plan);
    await onPlan(plan);
    const taken = [...host.foreignNames][0];
    if (taken !== undefined) {
      const step = plan.steps[0];
      const message = `the container name ${taken} is taken by a container that is not ours; remove or rename it`;
      if (step !== undefined)
        return {
          plan,
          receipt: makeReceipt(plan, before, before),
          observed: before,
          judged: rendered === undefined ? undefined : judgeDecky(rendered, before),
          failure: { step, message, outputTail: [] },
        };
    }
    const failure = await executePlan(plan, {
      api,
      compose,
      links,
      lanUse,
      instance: options.instance,
      deckyKey: targetKey(target),
      folder,
      rendered,
      minFreeBytes,
      onStep,
      boundary: options.boundary ?? (() => undefined),
      signal,
    });
    const after = await observeDecky(api, options.instance, before.scope, before.name);
    const judged = rendered === undefined ? undefined : judgeDecky(rendered, after);
    return { plan, receipt: makeReceipt(plan, before, after), observed: after, judged, failure };
  };

  return {
    warnings: pinMac ? [] : [`mac_not_pinned: Engine ${version} cannot pin MAC addresses; install Engine 25 or newer`],
    async plan(target) {
      const { plan, observed } = await prepare(target);
      return { plan, observed };
    },
    apply: (target, how) =>
      target.kind === "absent" ? apply(target, how) : lanUse.during(target.spec.lan.name, how.signal, () => apply(target, how)),
    async check(specs, madeOf = () => undefined) {
      const pids = new Set<number>();
      const found = new Map<string, ObservedContainer[]>();
      for (const { decky, container } of await api.listContainers(options.instance))
        found.set(decky, [...(found.get(decky) ?? []), container]);
      const observe = (key: string) => {
        const [scope = "", name = ""] = key.split("/");
        return withSockets({ scope, name, containers: found.get(key) ?? [], sockets: noSockets }, async (pid) => {
          pids.add(pid);
          return sockets.observe(pid, socketsMs);
        });
      };
      const needsHelper = specs.some((spec) => spec.lan.driver !== "bridge");
      const seen = needsHelper ? await links.observe(AbortSignal.timeout(linksMs)) : undefined;
      const deckies = new Map<string, CheckedDecky>();
      for (const spec of specs) {
        const wanted = renderSpec(spec);
        const observed = await observe(deckyKey(spec));
        const made = madeOf(spec);
        const plan = planDrift(wanted, observed, seen, made);
        deckies.set(deckyKey(spec), { observed, judged: judgeDecky(wanted, observed, made), plan });
      }
      const strays = [...found.keys()].filter((key) => !deckies.has(key));
      const observedStrays = await Promise.all(strays.map((key) => observe(key)));
      sockets.retain(pids);
      return { deckies, strays: observedStrays };
    },
    async *logs({ scope, name }, slug, { tail, follow, signal }) {
      const container = await api.inspect(deckyNames(scope, name).service(slug));
      if (container !== undefined) yield* streamContainerLogs(api, container.id, { slug, tail, follow, signal });
    },
    async prepareImages(specs, signal) {
      const wanted = specs
        .map((spec) => render({ kind: "present", spec }))
        .filter((rendered) => rendered !== undefined)
        .flatMap((rendered) => [rendered.base.image, ...rendered.services.map((service) => service.image)]);
      const images = new Map(wanted.map((image) => [typeof image === "string" ? image : image.tag, image]));
      const prepared: PreparedImage[] = [];
      for (const [tag, image] of images) {
        if (await api.hasImage(tag)) {
          prepared.push({ tag, problem: "", outputTail: [] });
          continue;
        }
        try {
          await prepareImage({ image }, { api, compose, signal, minFreeBytes });
          prepared.push({ tag, problem: "", outputTail: [] });
        } catch (error) {
          if (!(error instanceof StepFailed)) throw error;
          prepared.push({ tag, problem: error.message, outputTail: error.outputTail });
        }
      }
      return prepared;
    },
    async pruneImages() {
      const bases = [...new Set(distros.map((distro) => distro.buildBase))];
      const offered = offeredTags(options.catalogue.services.values(), bases);
      const superfluous = superfluousTags(await api.listImages("decnet/"), offered, { now: Date.now(), graceMs: imageGraceMs });
      for (const tag of superfluous) await api.removeImage(tag);
      return superfluous;
    },
    async ping() {
      await api.version();
    },
  };
}

async function observeDecky(api: EngineApi, instance: string, scope: string, name: string): Promise<ObservedDecky> {
  const found = await api.listContainers(instance, `${scope}/${name}`);
  return withSockets({ scope, name, containers: found.map((entry) => entry.container), sockets: noSockets });
}

async function withSockets(
  decky: ObservedDecky,
  observe: (pid: number) => Promise<ObservedSockets> = observeSockets,
): Promise<ObservedDecky> {
  const base = baseOf(decky);
  return base === undefined || base.pid === 0 ? decky : { ...decky, sockets: await observe(base.pid) };
}

async function observeHost(
  api: EngineApi,
  links: HostLinks,
  instance: string,
  folder: string,
  rendered: RenderedDecky | undefined,
  decky: string,
): Promise<ObservedHost> {
  if (rendered === undefined)
    return {
      images: new Set(),
      networks: new Set(),
      foreignNames: new Set(),
      projectDigest: await diskDigest(folder, []),
      access: undefined,
      leaves: await observeLeavings(api, links, instance, decky),
    };
  const tags = [...new Set([rendered.base.image, ...rendered.services.map((service) => service.image.tag)])];
  const names = [rendered.base.name, ...rendered.services.map((service) => service.name)];
  const { lan } = rendered.spec;
  const [images, hasNetwork, foreignNames, digest, seen] = await Promise.all([
    Promise.all(tags.map(async (tag) => ((await api.hasImage(tag)) ? tag : undefined))),
    api.hasNetwork(rendered.spec.lan.name),
    api.foreignNames(instance, names),
    diskDigest(folder, rendered.files),
    lan.driver === "bridge" ? undefined : links.observe(AbortSignal.timeout(linksMs)),
  ]);
  return {
    images: new Set(images.filter((tag) => tag !== undefined)),
    networks: new Set(hasNetwork ? [lan.name] : []),
    foreignNames,
    projectDigest: digest,
    access: seen === undefined ? undefined : accessTo(lan, instance, seen),
    leaves: noLeavings,
  };
}

async function observeLeavings(api: EngineApi, links: HostLinks, instance: string, decky: string): Promise<ObservedLeavings> {
  const networks = (await api.ownNetworks(instance)).filter(
    ({ members }) => members.length === 0 || members.some((member) => member.decky === decky),
  );
  const isBridge = networks.every(({ driver }) => driver === "bridge");
  const helpers = isBridge ? [] : (await links.observe(AbortSignal.timeout(linksMs))).helpers;
  const addresses = networks.flatMap(({ name, members }) =>
    members.filter((member) => member.decky === decky).map(({ address }) => ({ owner: helperOwner(instance, name), address })),
  );
  return {
    networks: networks.map(({ name, driver }) => ({
      network: name,
      owner: driver === "bridge" ? "" : helperOwner(instance, name),
    })),
    routes: helpers.flatMap((helper) =>
      addresses
        .filter(({ owner, address }) => owner === helper.owner && helper.routes.includes(address))
        .map(({ address }) => ({ to: address, helper: helper.name })),
    ),
  };
}
