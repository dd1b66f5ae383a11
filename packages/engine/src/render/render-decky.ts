import { containerSettings } from "../catalog/effective.ts";
import type { Catalog, CatalogPort, ServiceDefinition } from "../catalog/types.ts";
import type { Publication } from "../policy/publication.ts";
import type { DeckySpec, ServiceSpec } from "../spec.ts";
import { deckyKey } from "../spec.ts";
import { osFamilySysctls } from "../tables/os-families.ts";
import { boundLayer, boundVolume, type DiskBounds } from "./disk-bounds.ts";
import type { HardLimits } from "./hard-limits.ts";
import { type ImageContents, type ImageRecipe, serviceImage } from "./images.ts";
import { machineFiles } from "./machine-files.ts";
import { deckyNames, label } from "./names.ts";
import { said, saidOfNames, sized } from "./said.ts";

/** A file of the decky's project, relative to the project folder. */
export interface ProjectFile {
  readonly path: string;
  readonly content: string;
  /** A user as the decoy's containers count them, whom the engine may map to another one of the host; or the host's own root. */
  readonly owner: number | "host";
  readonly mode: number;
}

export interface WantedContainer {
  readonly name: string;
  readonly service: string;
  readonly hash: string;
  readonly image: ImageRecipe;
  readonly ports: readonly CatalogPort[];
  readonly settleMs: number;
  readonly stopGraceSeconds: number;
  /** Bytes that it may take of the host's disk in each place where it can write; undefined: it is not asked. */
  readonly diskBytes?: number;
}

/** Where a base is to be on one LAN. */
export interface WantedPlace {
  readonly network: string;
  readonly address: string;
  /** Undefined where it is not pinned. */
  readonly mac: string | undefined;
}

/** One decky as compose will see it. */
export interface RenderedDecky {
  readonly spec: DeckySpec;
  readonly project: string;
  readonly base: {
    readonly name: string;
    readonly hash: string;
    readonly image: string;
    /** On each of its LANs, home first. */
    readonly places: readonly WantedPlace[];
  };
  readonly services: readonly WantedContainer[];
  readonly publications: readonly Publication[];
  readonly files: readonly ProjectFile[];
}

export interface RenderContext {
  readonly catalog: Catalog;
  /** Marks what belongs to this installation. */
  readonly instance: string;
  /** Absolute folder of the project; bind mounts start there. */
  readonly projectDir: string;
  /** Keyed hash, hex: hides secrets from everybody who can read labels. */
  readonly fingerprint: (text: string) => string;
  /** False below Engine 25, where compose cannot pin MAC addresses. */
  readonly pinMac: boolean;
  /** What the host's engine can give to a process. */
  readonly limits: HardLimits;
  /** Undefined: its engine bounds nothing that is written. */
  readonly bounds?: DiskBounds | undefined;
  /** Of the build bases. */
  readonly contents: ImageContents;
}

type ComposeValue = string | number | boolean | null | readonly ComposeValue[] | { readonly [key: string]: ComposeValue };

/** Pure: the same spec, catalog and context give the same bytes. */
export function renderDecky(spec: DeckySpec, context: RenderContext): RenderedDecky {
  const names = deckyNames(spec.scope, spec.name);
  const rendered = spec.services.map((service) => renderService(spec, service, context));
  const baseHash = hashBase(spec, context);
  const volumes = Object.assign({}, ...rendered.map((service) => service.volumes)) as Record<string, ComposeValue>;
  const compose = {
    name: names.project,
    services: {
      [names.base]: renderBase(spec, baseHash, context),
      ...Object.fromEntries(rendered.map((service) => [service.wanted.name, service.compose])),
    },
    networks: Object.fromEntries(
      spec.attachments.map(({ lan }, index) => [networkKey(index), { external: true, name: lan.name }]),
    ),
    ...(Object.keys(volumes).length > 0 ? { volumes } : {}),
  };
  const composeFile = {
    path: "compose.yaml",
    content: `${toYaml(escapeDollars(compose))}\n`,
    owner: "host" as const,
    mode: 0o600,
  };
  return {
    spec,
    project: names.project,
    base: {
      name: names.base,
      hash: baseHash,
      image: spec.baseImage,
      places: spec.attachments.map(({ lan, ip, mac }) => ({
        network: lan.name,
        address: ip,
        // An ipvlan interface has its parent's.
        mac: context.pinMac && lan.driver !== "ipvlan" ? mac : undefined,
      })),
    },
    services: rendered.map((service) => service.wanted),
    publications: publicationsOf(
      spec,
      rendered.map(({ wanted }) => wanted),
    ),
    files: [
      ...rendered.flatMap((service) => service.secretFiles),
      ...machineFiles(spec).map(({ path, content }) => ({ path, content, owner: 0, mode: 0o444 })),
      composeFile,
    ],
  };
}

function renderBase(spec: DeckySpec, hash: string, context: RenderContext): ComposeValue {
  return {
    container_name: deckyNames(spec.scope, spec.name).base,
    image: spec.baseImage,
    pull_policy: "never",
    hostname: spec.hostname,
    command: ["sleep", "infinity"],
    sysctls: { ...osFamilySysctls(spec.osFamily), ...closedSysctls(spec) },
    networks: Object.fromEntries(
      spec.attachments.map(({ ip, mac }, index) => [
        networkKey(index),
        {
          ipv4_address: ip,
          ...(context.pinMac ? { mac_address: mac } : {}),
          // The order of its interfaces.
          ...(spec.attachments.length > 1 ? { priority: 1_000 - index } : {}),
        },
      ]),
    ),
    ...saidOfNames(spec.attachments[0].lan.gateway),
    volumes: [...machineMounts(spec, context)],
    mem_limit: "64m",
    pids_limit: 64,
    cpus: 0.5,
    stop_grace_period: "1s",
    ...said(context.limits),
    labels: labelsOf(spec, context, { [label.role]: "base", [label.hash]: hash }),
  };
}

interface RenderedService {
  readonly wanted: WantedContainer;
  readonly compose: ComposeValue;
  readonly volumes: Record<string, ComposeValue>;
  readonly secretFiles: readonly ProjectFile[];
}

function renderService(spec: DeckySpec, service: ServiceSpec, context: RenderContext): RenderedService {
  const entry = entryOf(context.catalog, service.slug);
  const names = deckyNames(spec.scope, spec.name);
  const name = names.service(service.slug);
  const settings = containerSettings(entry, service.config);
  const hash = context.fingerprint(
    JSON.stringify(["service", deckyKey(spec), spec.hostname, service.slug, sortedEntries(service.config)]),
  );
  const image = serviceImage(entry, spec.buildBase, context.contents);
  // The folder's name changes with its content, so that a running container never sees a secret that was not applied to it.
  const secretsHash = context.fingerprint(JSON.stringify(sortedEntries(settings.secrets)));
  const secretsFolder = `secrets/${service.slug}-${secretsHash.slice(0, 16)}`;
  const hasSecrets = Object.keys(settings.secrets).length > 0;
  const volumes = entry.volumes.map((volume) => ({ key: `${service.slug}-${volume.name}`, ...volume }));
  const bound = boundVolume(entry, context.bounds);
  const compose: ComposeValue = {
    container_name: name,
    image: image.tag,
    pull_policy: "never",
    network_mode: `container:${names.base}`,
    user: entry.user === 0 ? "0" : String(entry.user),
    environment: { NODE_NAME: spec.name, HOSTNAME: spec.hostname, ...settings.env },
    cap_add: [...entry.capabilities],
    read_only: entry.readOnlyRoot,
    tmpfs: entry.tmpfs.map(sized),
    ...boundLayer(entry, context.bounds),
    volumes: [
      ...volumes.map((volume) => ({ type: "volume", source: volume.key, target: volume.path })),
      ...machineMounts(spec, context),
      ...(hasSecrets ? [mount(context, secretsFolder, "/run/decnet/secrets")] : []),
    ],
    mem_limit: `${entry.limits.memoryMb}m`,
    pids_limit: entry.limits.pids,
    cpus: entry.limits.cpus,
    stop_grace_period: `${entry.stopGraceSeconds}s`,
    ...said(context.limits),
    labels: labelsOf(spec, context, {
      [label.role]: "service",
      [label.service]: service.slug,
      [label.hash]: hash,
      [label.catalog]: image.tag,
    }),
  };
  return {
    wanted: {
      name,
      service: service.slug,
      hash,
      image,
      ports: entry.ports,
      settleMs: entry.settleSeconds * 1000,
      stopGraceSeconds: entry.stopGraceSeconds,
      diskBytes: entry.limits.diskMb * (1 << 20),
    },
    compose,
    volumes: Object.fromEntries(
      volumes.map(({ key, name: own }) => [
        key,
        { name: names.volume(service.slug, own), labels: labelsOf(spec, context, { [label.service]: service.slug }), ...bound },
      ]),
    ),
    secretFiles: Object.entries(settings.secrets).map(([key, content]) => ({
      path: `${secretsFolder}/${key}`,
      content,
      owner: entry.user,
      mode: 0o400,
    })),
  };
}

/** Without its source a container does not start: an empty folder in its place would be an engine's guess. */
function mount({ projectDir }: RenderContext, path: string, target: string): ComposeValue {
  return { type: "bind", source: `${projectDir}/${path}`, target, read_only: true, bind: { create_host_path: false } };
}

function machineMounts(spec: DeckySpec, context: RenderContext): ComposeValue[] {
  return machineFiles(spec).map(({ path, target }) => mount(context, path, target));
}

function entryOf(catalog: Catalog, slug: string): ServiceDefinition {
  const entry = catalog.services.get(slug);
  if (entry === undefined) throw new Error(`service ${slug} is not in the catalog of this host`);
  return entry;
}

function publicationsOf(spec: DeckySpec, services: readonly WantedContainer[]): Publication[] {
  const { publishOn: address, attachments } = spec;
  if (address === undefined) return [];
  const common = { address, to: attachments[0].ip, decky: deckyKey(spec) };
  return services.flatMap(({ ports }) => ports.map(({ number, protocol }) => ({ ...common, port: number, protocol })));
}

/** A base on several LANs forwards nothing before its guard says so; an engine would have it do as its host does. */
function closedSysctls({ attachments }: DeckySpec): Record<string, string> {
  return attachments.length > 1 ? { "net.ipv4.ip_forward": "0" } : {};
}

/** The home's has no number, as in the projects of deckies with one LAN. */
function networkKey(index: number): string {
  return index === 0 ? "lan" : `lan-${index}`;
}

function hashBase(spec: DeckySpec, context: RenderContext): string {
  const places = spec.attachments.flatMap(({ lan, ip, mac }) => [lan.name, ip, mac]);
  const identity = [spec.hostname, spec.baseImage, spec.osFamily, ...places];
  return context.fingerprint(JSON.stringify(["base", deckyKey(spec), identity]));
}

function labelsOf(spec: DeckySpec, context: RenderContext, more: Record<string, string>): Record<string, string> {
  return { [label.instance]: context.instance, [label.decky]: deckyKey(spec), ...more };
}

function sortedEntries(map: Readonly<Record<string, unknown>>): [string, unknown][] {
  return Object.entries(map).sort(([left], [right]) => (left < right ? -1 : 1));
}

/**
 * JSON that is YAML as well: what YAML takes for a line break, or does not allow in a file, is escaped, so that every value
 * arrives as it is.
 */
function toYaml(value: ComposeValue): string {
  const odd = /[\u007f-\u009f\u2028\u2029\ufdd0-\ufdef\ufeff\ufffe\uffff]/g;
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value, null, 1).replace(odd, escaped);
}

/** Compose fills `$NAME` from the daemon's own environment unless the dollar is doubled. */
function escapeDollars(value: ComposeValue): ComposeValue {
  if (typeof value === "string") return value.replaceAll("$", "$$$$");
  if (Array.isArray(value)) return value.map(escapeDollars);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, escapeDollars(inner)]));
  return value;
}
