import { setTimeout as delay } from "node:timers/promises";
import { create, toJson } from "@bufbuild/protobuf";
import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  ActivateHostResponseSchema,
  type CreateJoinTokenResponse,
  CreateJoinTokenResponseSchema,
  GetHostResponseSchema,
  type Host,
  HostState,
  ListHostsResponseSchema,
} from "@decnet/contract/gen/decnet/v1/swarm_pb";
import type { Command } from "commander";
import { type ChangeFlags, runChange } from "../change.ts";
import type { Cli } from "../cli.ts";
import type { Connection } from "../connection.ts";
import { changing, reading, show } from "../flags.ts";
import { formatDocument } from "../forms.ts";
import { endLive, print, printRaw, progress, say, showLive } from "../output.ts";
import { findOwnHost, readOwnHosts } from "../own-host.ts";
import { pageSize, readPages } from "../pages.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";
import { parseDuration } from "../text/duration.ts";
import { endOf, formatHints, formatHost, formatHosts, formatInvitation, formatRefusal, joinSteps } from "../text/hosts.ts";
import { UsageError } from "../usage-error.ts";
import { registerJoins } from "./host-joins.ts";
import { registerOrphans } from "./host-orphans.ts";

interface InviteFlags extends ReadFlags {
  readonly name: string;
  readonly ttl: string;
  readonly label?: string[];
  readonly master?: string[];
  readonly wait: boolean;
}

/** `decnet host …` */
export function registerHost(program: Command, cli: Cli): void {
  const host = program.command("host").description("The machines that run deckies.");
  registerInvite(host, cli);
  registerReads(host, cli);
  registerJoins(host, cli);
  registerOrphans(host, cli);
  changing(host.command("drain <name>").description("Move its deckies to the other workers; it gets no new ones."), {
    examples: ["host drain edge-03", "host drain edge-03 --plan", "host drain edge-03 --accept drain=edge-03"],
    rpc: "SwarmService/DrainHost",
    body: '{"name":"edge-03"}',
  }).action((name: string, flags: ChangeFlags) =>
    cli.withConnection((connection) =>
      runChange({
        flags,
        connection,
        asks: true,
        always: true,
        typed: { name, accept: `drain=${name}` },
        submit: (options) => connection.swarm.drainHost({ name, options }),
      }),
    ),
  );
  reading(host.command("activate <name>").description("Let a drained host get deckies again."), {
    examples: ["host activate edge-03", "host activate edge-03 --json", "host activate edge-03 -o yaml"],
    rpc: "SwarmService/ActivateHost",
    body: '{"name":"edge-03"}',
  }).action((name: string, flags: ReadFlags) =>
    cli.withConnection(async ({ swarm }) => {
      const activated = await swarm.activateHost({ name });
      show(flags, ActivateHostResponseSchema, activated, () => `${name} takes deckies again`);
      return undefined;
    }),
  );
  changing(
    host
      .command("decommission <name>")
      .description("Remove its deckies, then end its certificate and forget it.")
      .option("--force", "also when it is away: its deckies are forgotten, its containers stay there"),
    {
      examples: [
        "host decommission edge-03",
        "host decommission edge-03 --accept decommission=edge-03",
        "host decommission edge-07 --force --accept decommission=edge-07",
      ],
      rpc: "SwarmService/DecommissionHost",
      body: '{"name":"edge-03"}',
    },
  ).action((name: string, flags: ChangeFlags & { force?: boolean }) =>
    cli.withConnection((connection) =>
      runChange({
        flags,
        connection,
        asks: true,
        always: true,
        typed: { name, accept: `decommission=${name}` },
        submit: (options) => connection.swarm.decommissionHost({ name, force: flags.force === true, options }),
      }),
    ),
  );
}

function registerReads(host: Command, cli: Cli): void {
  reading(
    host
      .command("list")
      .description("The master's own host and its workers, with the number of their deckies that run / do not.")
      .option("--select <filter>", "for instance state=unreachable,label=site:north", ""),
    {
      examples: ["host list", "host list --select state=unreachable", "host list --json"],
      rpc: "SwarmService/ListHosts",
    },
  ).action((flags: ReadFlags & { select: string }) =>
    cli.withConnection(async (connection) => {
      const { swarm } = connection;
      const [pages, own] = await Promise.all([
        readPages((pageToken) => swarm.listHosts({ filter: flags.select, pageSize, pageToken })),
        flags.select === "" ? readOwnHosts(connection) : [],
      ]);
      const hosts = [...own, ...pages.flatMap((page) => page.hosts)];
      show(flags, ListHostsResponseSchema, { ...pages[0], hosts, nextPageToken: "" }, () => formatHosts(hosts, Date.now()));
      return undefined;
    }),
  );
  reading(host.command("get <name>").description("One host in full; a master's own too, such as local."), {
    examples: ["host get edge-03", "host get edge-03 --json", "host get edge-03 -o yaml"],
    rpc: "SwarmService/GetHost",
    body: '{"name":"edge-03"}',
  }).action((name: string, flags: ReadFlags) =>
    cli.withConnection(async (connection) => {
      const own = await findOwnHost(connection, name);
      const found = own === undefined ? await connection.swarm.getHost({ name }) : create(GetHostResponseSchema, { host: own });
      show(flags, GetHostResponseSchema, found, () => formatHost(found.host, Date.now()));
      return undefined;
    }),
  );
}

function registerInvite(host: Command, cli: Cli): void {
  const add = (value: string, before: string[] = []) => [...before, value];
  reading(
    host
      .command("invite")
      .description("A single-use token that makes a machine a worker; waits until it has joined.")
      .requiredOption("--name <name>", "what the worker will be called")
      .option("--ttl <time>", "how long the token can be used", "30m")
      .option("--label <key=value>", "for placement; repeatable", add)
      .option("--master <host:port>", "where the worker reaches the master, if not at its own addresses; repeatable", add)
      .option("--no-wait", "only print what to run"),
    {
      examples: [
        "host invite --name edge-15",
        "host invite --name edge-15 --label site=north",
        "host invite --name edge-15 --json",
      ],
      rpc: "SwarmService/CreateJoinToken",
      body: '{"hostName":"edge-15"}',
    },
  ).action((flags: InviteFlags) =>
    cli.withConnection(async (connection) => {
      const ttlMs = parseDuration(flags.ttl);
      if (ttlMs === undefined) throw new UsageError("--ttl is a time such as 30m");
      const made = await connection.swarm.createJoinToken({
        hostName: flags.name,
        ttl: durationFromMs(ttlMs),
        labels: parseLabels(flags.label ?? []),
        masters: flags.master ?? [],
      });
      const form = formOf(flags);
      if (form === "name") printRaw(made.secret);
      else if (form !== "table" && form !== "wide") printRaw(formatDocument(form, toJson(CreateJoinTokenResponseSchema, made)));
      if (form !== "table" && form !== "wide") return 0;
      if (flags.wait) return waitForWorker(connection, flags.name, made);
      print(formatInvitation(made));
      return 0;
    }),
  );
}

function parseLabels(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((each) => {
      const [, key = "", value = ""] = /^([^=]+)=(.+)$/.exec(each) ?? [];
      if (key === "") throw new UsageError(`--label is key=value, not ${JSON.stringify(each)}`);
      return [key, value];
    }),
  );
}

const pollEveryMs = 1_000;
const hintAfterMs = 60_000;

/**
 * Says what to run there, then shows each step of the join as it is taken, and each refusal, until the worker is connected.
 * Returns the exit code.
 */
async function waitForWorker(connection: Connection, name: string, made: CreateJoinTokenResponse): Promise<number> {
  const { token, masters } = made;
  const interrupted = new AbortController();
  const onInterrupt = () => interrupted.abort();
  process.once("SIGINT", onInterrupt);
  print(formatInvitation(made));
  const begun = Date.now();
  const ends = token?.expiresAt === undefined ? begun : timestampMs(token.expiresAt);
  const told = new Set<string>();
  const tell = (key: string, line: string) => {
    if (told.has(key)) return;
    told.add(key);
    progress(line);
  };
  try {
    while (!interrupted.signal.aborted) {
      showLive(`waiting for ${name} (Ctrl-C stops waiting, not the token)`);
      const seen = await poll(connection, name, token?.id ?? "");
      for (const refused of seen.refused) tell(String(refused.at?.seconds) + refused.reason, formatRefusal(refused));
      for (const [index, step] of joinSteps(seen.token, seen.host, Date.now()).entries()) tell(`step ${index}`, step);
      if (seen.host?.state === HostState.CONNECTED) {
        print(`${name} is ready.`);
        return 0;
      }
      if (seen.token?.usedAt === undefined && Date.now() > ends) {
        say(`the token has expired unused; for a new one: decnet host invite --name ${name}`);
        return 9;
      }
      if (Date.now() - begun > hintAfterMs) tell("hints", formatHints(name, masters));
      await delay(pollEveryMs, undefined, { signal: interrupted.signal }).catch(() => undefined);
    }
    say(`stopped waiting; the token can be used until ${endOf(token)}`);
    return 130;
  } finally {
    process.off("SIGINT", onInterrupt);
    endLive();
  }
}

async function poll({ swarm }: Connection, name: string, tokenId: string) {
  const [{ tokens }, { refused }] = await Promise.all([swarm.listJoinTokens({}), swarm.listRefusedJoins({ pageSize: 100 })]);
  const token = tokens.find((each) => each.id === tokenId);
  const found = token?.usedAt === undefined ? undefined : await getHost(swarm, name);
  return {
    token,
    host: found?.id === token?.hostId ? found : undefined,
    refused: refused.filter((each) => each.tokenId === tokenId).reverse(),
  };
}

async function getHost(swarm: Connection["swarm"], name: string): Promise<Host | undefined> {
  try {
    return (await swarm.getHost({ name })).host;
  } catch (error) {
    if (ConnectError.from(error).code === Code.NotFound) return undefined;
    throw error;
  }
}
