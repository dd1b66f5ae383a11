import { timestampDate, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Decky, DeckyState, type RotationStatus, type Service, ServiceState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import type { LogLine, Revision } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { ChangeAction, type ServiceChange } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { formatEvery } from "./duration.ts";
import { formatDenied, formatEgress } from "./egress.ts";
import { age, columns, oneLine, table, verbatim, visible, word } from "./layout.ts";
import { formatField, refName } from "./plan.ts";

const stateMarks: Readonly<Record<DeckyState, string>> = {
  [DeckyState.UNSPECIFIED]: "?",
  [DeckyState.PENDING]: "↻",
  [DeckyState.CHANGING]: "↻",
  [DeckyState.RUNNING]: "",
  [DeckyState.DEGRADED]: "!",
  [DeckyState.DETACHED]: "!",
  [DeckyState.FAILED]: "×",
  [DeckyState.UNKNOWN]: "?",
};

/** `running`, `! degraded`, `? unknown` */
export function formatState(state: DeckyState): string {
  return `${stateMarks[state]} ${word(DeckyState, state)}`.trimStart();
}

export function deckyName(decky: Pick<Decky, "ref">): string {
  return decky.ref === undefined ? "" : refName(decky.ref);
}

/** The list of deckies as people read it. */
export function formatDeckies(deckies: readonly Decky[], wide: boolean, now: number): string {
  const more = wide ? ["MAC", "HOSTNAME", "DISTRO", "ARCHETYPE", "LAST", "DENIED"] : [];
  return table(
    ["NAME", "STATE", "HOST", "IP", "SERVICES", "REV", "AGE", ...more],
    deckies.map((decky) => [
      deckyName(decky),
      formatState(decky.state),
      decky.host,
      decky.addresses[0]?.ip ?? "",
      decky.services.map(({ state, slug }) => (state === ServiceState.RUNNING ? slug : `!${slug}`)).join(" "),
      formatRevision(decky),
      age(decky.observedAt, now),
      ...(wide
        ? [
            decky.addresses[0]?.mac ?? "",
            decky.identity?.hostname ?? "",
            decky.identity?.distro ?? "",
            decky.identity?.archetype || "-",
            decky.lastOperation || "-",
            String(decky.deniedPackets),
          ]
        : []),
    ]),
  );
}

function formatRevision(decky: Decky): string {
  const { desiredRevision, appliedRevision } = decky;
  return desiredRevision === appliedRevision ? `r${desiredRevision}` : `r${desiredRevision}≠r${appliedRevision}`;
}

/** One decky in full; `newest` is its newest revision. */
export function formatDecky(decky: Decky, newest: Revision | undefined, now: number): string {
  const name = deckyName(decky);
  const address = decky.addresses[0];
  const identity = [address?.ip, address?.mac, decky.identity?.hostname, decky.identity?.distro, decky.identity?.osFamily];
  const scope = decky.ref?.topologyId ? `topology ${decky.ref.topology || decky.ref.topologyId}` : "fleet";
  const open = decky.services.filter((service) => service.openSessions > 0);
  const total = open.reduce((sum, service) => sum + service.openSessions, 0);
  return [
    `${name}  ${scope} · host ${decky.host} · ${formatState(decky.state)} (seen ${age(decky.observedAt, now)} ago)`,
    ...(decky.message === "" ? [] : [`  ${oneLine(decky.message)}`]),
    `  identity   ${identity.filter(Boolean).join(" · ")}    fixed at deploy`,
    `  desired    r${decky.desiredRevision}  ${newest?.number === decky.desiredRevision ? origin(newest) : ""}`.trimEnd(),
    `  applied    r${decky.appliedRevision}    decnet decky revisions ${name}`,
    ...indent(columns(decky.services.map((service) => serviceRow(service, now))), "  services   ", "             "),
    ...(total === 0
      ? []
      : [`  sessions   ${total} open: ${open.map((service) => `${service.openSessions} on ${service.slug}`).join(", ")}`]),
    ...egressLine(decky),
    ...decky.services.flatMap((service) => stagedLine(name, service)),
    ...(decky.rotation === undefined ? [] : rotationLines(decky.rotation, now)),
    ...decky.warnings.map((warning) => `  warning    ${warning}`),
  ].join("\n");
}

/** How its services change by themselves. */
function rotationLines({ setting, nextAt, lastAt, failures, message, pinned, barred }: RotationStatus, now: number): string[] {
  const every = formatEvery(Number(setting?.every?.seconds ?? 0n));
  const among = setting?.services.join(", ") || "its archetype's services";
  const next = nextAt === undefined || timestampMs(nextAt) <= now ? "now, when it can be" : `in ${ahead(nextAt, now)}`;
  const last = lastAt === undefined ? "never yet" : `${age(lastAt, now)} ago`;
  return [
    `  rotation   every ${every} among ${oneLine(among)} · next ${next} · last ${last}`,
    ...(pinned.length === 0 ? [] : [`             stays by an operator's wish: ${oneLine(pinned.join(", "))}`]),
    ...(barred.length === 0 ? [] : [`             stays away by an operator's wish: ${oneLine(barred.join(", "))}`]),
    ...(message === "" ? [] : [`             failed ${failures === 1 ? "once" : `${failures} times`}: ${oneLine(message)}`]),
  ];
}

function ahead(at: { readonly seconds: bigint }, now: number): string {
  return age({ seconds: BigInt(Math.floor(now / 1_000)) }, Number(at.seconds) * 1_000);
}

function egressLine({ egress, deniedPackets }: Decky): string[] {
  const parts = [formatEgress(egress), formatDenied(deniedPackets)].filter((part) => part !== "");
  return parts.length === 0 ? [] : [`  egress     ${parts.join(" · ")}`];
}

function stagedLine(decky: string, { slug, staged, stagedSecrets }: Service): string[] {
  const keys = [...Object.keys(staged ?? {}), ...stagedSecrets].join(", ");
  if (staged === undefined && stagedSecrets.length === 0) return [];
  return [`  staged     ${slug} ${keys} (saved, not applied)    decnet service set ${decky} ${slug} --apply-staged`];
}

function serviceRow(service: Service, now: number): string[] {
  const isFine = service.state === ServiceState.RUNNING;
  return [
    service.slug,
    `${isFine ? "" : "! "}${word(ServiceState, service.state)}`,
    service.startedAt === undefined ? "-" : age(service.startedAt, now),
    service.ports.map((port) => `${port.protocol}/${port.number}`).join(" ") || "-",
    `restarts ${service.restartCount}`,
    visible(service.message),
  ];
}

/** One service with its settings; secrets are only named. */
export function formatService(decky: string, service: Service): string {
  const settings = (config: Readonly<Record<string, unknown>> | undefined, secrets: readonly string[]) => [
    ...Object.entries(config ?? {}).map(([key, value]) => [`  ${key}`, visible(JSON.stringify(value))]),
    ...secrets.map((key) => [`  ${key}`, "(secret)"]),
  ];
  const rows = [
    ...settings(service.config, service.secretsSet),
    ...settings(service.staged, service.stagedSecrets).map((row) => [...row, "staged: not applied"]),
  ];
  return [
    `${service.slug} of ${decky}  ${word(ServiceState, service.state)}`,
    rows.length === 0 ? "  every setting has the catalog's default" : columns(rows),
  ].join("\n");
}

/** A line that a service wrote. */
export function formatLogLine({ at, service, text }: LogLine): string {
  return `${at === undefined ? "" : timestampDate(at).toISOString()} ${oneLine(service)} ${verbatim(text)}`;
}

function indent(text: string, first: string, others: string): string[] {
  return text === "" ? [] : text.split("\n").map((line, index) => `${index === 0 ? first : others}${line}`);
}

function origin(revision: Revision): string {
  const at =
    revision.createdAt === undefined ? "" : timestampDate(revision.createdAt).toISOString().slice(0, 16).replace("T", " ");
  return [at, revision.actor, revision.reason === "" ? "" : JSON.stringify(visible(revision.reason))].filter(Boolean).join("  ");
}

const short: Readonly<Record<ChangeAction, string>> = {
  [ChangeAction.UNSPECIFIED]: "?",
  [ChangeAction.ADDED]: "+",
  [ChangeAction.REMOVED]: "-",
  [ChangeAction.CHANGED]: "+/-",
  [ChangeAction.STAGED]: "~",
};

/** The revisions of a decky, newest first. */
export function formatRevisions(revisions: readonly Revision[], now: number): string {
  return table(
    ["REV", "AGE", "WHO", "WHAT", "WHY"],
    revisions.map((each) => [`r${each.number}`, age(each.createdAt, now), each.actor, whatOf(each), visible(each.reason)]),
  );
}

/** A server that does not say yet what it compares with keeps all of them. */
function whatOf({ number, comparedTo, changes }: Revision): string {
  const isFirstKept = comparedTo === 0 && number > 1 && changes.length === 0;
  return changes.map(summary).join(" ") || (isFirstKept ? "none before it is kept" : "-");
}

function summary(change: ServiceChange): string {
  const keys = change.fields.length === 0 ? "" : `(${change.fields.map((field) => field.key).join(",")})`;
  return `${short[change.action]}${change.service || "identity"}${keys}`;
}

/** What differs between two revisions, in the marks of a plan. */
export function formatDifference(from: number, to: number, changes: readonly ServiceChange[]): string {
  if (changes.length === 0) return `r${from} and r${to} are the same`;
  return [
    `r${from} → r${to}`,
    ...changes.flatMap((change) => [
      `  ${short[change.action].padStart(3)} ${change.service || "identity"}`,
      ...change.fields.map((field) => `      ${formatField(field)}`),
    ]),
  ].join("\n");
}
