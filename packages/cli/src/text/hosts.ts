import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { CreateJoinTokenResponse, Host, JoinToken, RefusedJoin } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { age, columns, oneLine, table, visible, word } from "./layout.ts";

/** Hosts and invitations as people read them. Pure. */

export function formatHosts(hosts: readonly Host[], now: number): string {
  if (hosts.length === 0) return "no workers; make one: decnet host invite --name NAME";
  return table(
    ["NAME", "STATE", "SEEN", "CERT", "DECKIES", "VERSION"],
    hosts.map((host) => [
      host.name,
      stateOf(host),
      age(host.lastSeen, now),
      timeLeft(host.certificateExpiresAt, now),
      formatDeckyCounts(host),
      visible(host.facts?.agentVersion ?? "") || "-",
    ]),
  );
}

export function formatHost(host: Host | undefined, now: number): string {
  if (host === undefined) return "";
  const { facts } = host;
  const rows = [
    ["seen", `${age(host.lastSeen, now)} ago${host.address === "" ? "" : `, from ${visible(host.address)}`}`],
    ["certificate", `${timeLeft(host.certificateExpiresAt, now)} left, ${host.certificateSerial.slice(0, 16)}`],
    ["deckies", `${formatDeckyCounts(host)}${host.waitingOperations > 0 ? `, ${host.waitingOperations} changes wait` : ""}`],
    [
      "labels",
      Object.entries(host.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(" ") || "none",
    ],
    ["engine", `docker ${visible(facts?.engineVersion || "?")}, compose ${visible(facts?.composeVersion || "?")}`],
    ["agent", visible(facts?.agentVersion ?? "?")],
  ];
  return [
    `${host.name}  ${stateOf(host)}`,
    columns(rows.map(([key = "", value = ""]) => [`  ${key}`, value])),
    ...(host.message === "" ? [] : [`  ! ${oneLine(host.message)}`]),
    ...host.warnings.map((warning) => `  ! ${oneLine(warning)}`),
  ].join("\n");
}

/** What to run on the new worker. */
export function formatInvitation({ secret, masters, token }: CreateJoinTokenResponse): string {
  return [
    `Run this ON THE NEW WORKER, as root, in a checkout of this decnet (needs a Docker engine with compose, and outbound TCP to`,
    `${masters.join(" or ")}; no open port):`,
    "",
    `  ./decnet agent join ${secret} --run`,
    "",
    `Single use, ends ${endOf(token)}. Contains the CA's hash, no key.`,
  ].join("\n");
}

/** Why a worker may not have called yet. */
export function formatHints(name: string, masters: readonly string[]): string {
  return [
    `nothing has come from ${name} for a minute. Perhaps`,
    `  - the command has not been run there yet`,
    `  - the worker does not reach ${masters.join(" or ")} (a firewall, a route; other addresses: --master HOST:PORT)`,
    `  - its clock differs from this master's`,
    `  - the agent runs but is stuck; on the worker: decnet agent status, journalctl -u decnet-agent`,
  ].join("\n");
}

export function formatRefusal(refused: RefusedJoin): string {
  const from = [refused.machineName, refused.address].filter((text) => text !== "").join(", ");
  return `✖ refused ${oneLine(refused.reason)}  ${oneLine(refused.message)}${from === "" ? "" : `  (${oneLine(from)})`}`;
}

/** The steps of a join that have been taken, in order. */
export function joinSteps(token: JoinToken | undefined, host: Host | undefined, now: number): string[] {
  const facts = host?.facts;
  return [
    ...(token?.usedAt === undefined ? [] : [`✔ token used${host === undefined ? "" : ` from ${visible(host.address)}`}`]),
    ...(host === undefined ? [] : [`✔ certificate ${timeLeft(host.certificateExpiresAt, now)}`]),
    ...(facts === undefined ? [] : [`✔ docker ${visible(facts.engineVersion)}, compose ${visible(facts.composeVersion)} ok`]),
    // A worker whose catalog differs is refused before this.
    ...(facts === undefined ? [] : ["✔ catalog matches"]),
    ...(host?.state === HostState.CONNECTED ? ["✔ connected"] : []),
  ];
}

export function endOf(token: JoinToken | undefined): string {
  return token?.expiresAt === undefined ? "soon" : `${timestampDate(token.expiresAt).toISOString().slice(11, 16)} UTC`;
}

function stateOf(host: Host): string {
  const state = word(HostState, host.state);
  const marked = state === "unreachable" ? "? unreachable" : state;
  return host.draining && state !== "decommissioned" ? `${marked}, draining` : marked;
}

/** `12/1`: running, and not running. */
function formatDeckyCounts({ deckies }: Host): string {
  const all = Object.values(deckies).reduce((sum, count) => sum + count, 0);
  const good = deckies["running"] ?? 0;
  return `${good}/${all - good}`;
}

function timeLeft(until: Timestamp | undefined, now: number): string {
  if (until === undefined) return "-";
  const seconds = Number(until.seconds) - Math.round(now / 1_000);
  return seconds <= 0 ? "× ended" : age({ seconds: BigInt(Math.round(now / 1_000) - seconds) }, now);
}
