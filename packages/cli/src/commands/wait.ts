import { setTimeout as delay } from "node:timers/promises";
import { type Decky, DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { ListDeckiesResponseSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import type { Connection } from "../connection.ts";
import { parseDecky } from "../deckies.ts";
import { reading, show } from "../flags.ts";
import { endLive, say, showLive } from "../output.ts";
import { readDeckies } from "../pages.ts";
import type { ReadFlags } from "../read-flags.ts";
import { deckyName, formatState } from "../text/decky.ts";
import { parseDuration } from "../text/duration.ts";
import { word } from "../text/layout.ts";
import { UsageError } from "../usage-error.ts";

interface WaitFlags extends ReadFlags {
  readonly select?: string;
  readonly for: string;
  readonly timeout: string;
}

const everyMs = 500;
const gone = "gone";
const mostNamed = 5;

/** `decnet wait` */
export function registerWait(program: Command, cli: Cli): void {
  reading(
    program
      .command("wait [deckies...]")
      .description("Wait until deckies are in a state.")
      .option("--select <filter>", "the deckies, for instance host=edge-03,service=ftp")
      .option("--for <state>", "running, degraded, failed, unknown …, or gone", "running")
      .option("--timeout <time>", "how long at most", "5m"),
    {
      examples: ["wait web-07", "wait --select 'name=web-*' --timeout 10m", "wait web-07 --for gone"],
      rpc: "FleetService/ListDeckies",
      body: '{"filter":"name=web-07"}',
    },
  ).action((names: string[], flags: WaitFlags) =>
    cli.withConnection(async (connection) => {
      const state = parseState(flags.for);
      const ms = parseDuration(flags.timeout);
      if (ms === undefined) throw new UsageError("--timeout is a time such as 30s or 10m");
      if (names.length > 0 === (flags.select !== undefined)) throw new UsageError("name deckies, or select them with --select");
      for (const name of names) parseDecky(name);
      return waitFor(connection, { names, select: flags.select ?? "", state, ms }, flags);
    }),
  );
}

function parseState(text: string): DeckyState | typeof gone {
  if (text === gone) return gone;
  const states = [
    DeckyState.RUNNING,
    DeckyState.DEGRADED,
    DeckyState.DETACHED,
    DeckyState.FAILED,
    DeckyState.UNKNOWN,
    DeckyState.CHANGING,
  ];
  const found = states.find((state) => word(DeckyState, state) === text);
  if (found === undefined)
    throw new UsageError(
      `--for is one of ${states.map((state) => word(DeckyState, state)).join(", ")}, gone; not ${JSON.stringify(text)}`,
    );
  return found;
}

interface Wish {
  readonly names: readonly string[];
  readonly select: string;
  readonly state: DeckyState | typeof gone;
  readonly ms: number;
}

/** Returns 0 when all are in the state, 9 when the time is over. */
async function waitFor(connection: Connection, wish: Wish, flags: ReadFlags): Promise<number> {
  const deadline = performance.now() + wish.ms;
  try {
    for (;;) {
      const deckies = await readDeckies(connection, wish.select);
      const { there, missing } = judge(deckies, wish);
      const isAll = missing.length === 0 && (there.length > 0 || wish.state === gone);
      if (isAll) {
        show(flags, ListDeckiesResponseSchema, listOf(there), () => describe(there, wish));
        return 0;
      }
      const open = missing.length > 0 ? missing : ["no decky fits the selection yet"];
      if (performance.now() >= deadline) {
        endLive();
        say(`--timeout ran out: ${open.slice(0, mostNamed).join("; ")}${more(open.length)}`);
        return 9;
      }
      showLive(`waiting: ${open[0]}${more(open.length, 1)}`);
      await delay(Math.min(everyMs, Math.max(1, deadline - performance.now())));
    }
  } finally {
    endLive();
  }
}

function more(count: number, shown = mostNamed): string {
  return count > shown ? ` and ${count - shown} more` : "";
}

/** Which of the wanted deckies are as they should be, and what is said of the others. */
function judge(deckies: readonly Decky[], { names, state }: Wish): { there: Decky[]; missing: string[] } {
  const chosen = names.length === 0 ? deckies : deckies.filter((decky) => names.includes(deckyName(decky)));
  const isAt = (decky: Decky) => decky.state === state && decky.appliedRevision === decky.desiredRevision;
  const isNow = (decky: Decky) => (state === DeckyState.RUNNING ? isAt(decky) : decky.state === state);
  const away = names.filter((name) => !chosen.some((decky) => deckyName(decky) === name));
  const asItIs = (decky: Decky) => `${deckyName(decky)} is ${formatState(decky.state)}`;
  if (state === gone) return { there: [], missing: chosen.map(asItIs) };
  return {
    there: chosen.filter(isNow),
    missing: [...chosen.filter((decky) => !isNow(decky)).map(asItIs), ...away.map((name) => `${name} is not there`)],
  };
}

function describe(there: readonly Decky[], { names, state }: Wish): string {
  if (state === gone)
    return names.length === 0 ? "no decky fits any more" : `${names.join(", ")} ${names.length === 1 ? "is" : "are"} gone`;
  return there.map((decky) => `${deckyName(decky)} is ${word(DeckyState, state)}`).join("\n");
}

function listOf(deckies: Decky[]) {
  return { $typeName: "decnet.v1.ListDeckiesResponse", deckies, counts: {}, nextPageToken: "" } as const;
}
