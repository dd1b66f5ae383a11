import { existsSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { version } from "@decnet/common/version";
import { Role } from "@decnet/contract/gen/decnet/v1/access_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { type Connection, connect } from "../connection.ts";
import type { ChosenContext } from "../contexts/contexts.ts";
import { reading } from "../flags.ts";
import { formatDocument } from "../forms.ts";
import { isMap } from "../maps.ts";
import { print, printRaw } from "../output.ts";
import { ownHost } from "../own-host.ts";
import { Unreachable } from "../reach/unreachable.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";
import { visible, word } from "../text/layout.ts";

interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** Nothing is wrong as long as nobody wants what is missing. */
  readonly isNote?: boolean;
  readonly message: string;
  readonly next?: string;
}

const askAtMostMs = 5_000;
const mostSkewMs = 60_000;

/** `decnet doctor`: exits with 6 when the master does not answer, 5 when it refuses the token, 1 when anything else is wrong. */
export function registerDoctor(program: Command, cli: Cli): void {
  reading(program.command("doctor").description("Check address, token, clock, versions and, on the master's machine, docker."), {
    examples: ["doctor", "doctor --json", "doctor --context prod"],
    rpc: "AccessService/WhoAmI",
  }).action((flags: ReadFlags) =>
    cli.run(async () => {
      const context = cli.chosen();
      const { checks, exit, idleHost } = await examine(context);
      const local = isLocal(context.address) ? [await checkEngine(cli.env), checkCompose()] : [];
      const all = [...checks, ...local.map((check) => (idleHost === undefined ? check : excuse(check, idleHost)))];
      const form = formOf(flags);
      if (form !== "table" && form !== "wide") printRaw(formatDocument(form, { checks: all }));
      else for (const check of all) print(formatCheck(check));
      return exit !== 0 ? exit : all.every((check) => check.ok) ? 0 : 1;
    }),
  );
}

function formatCheck({ ok, isNote = false, name, message, next }: Check): string {
  const line = `${isNote ? "–" : ok ? "✔" : "✖"} ${name.padEnd(9)} ${visible(message)}`;
  return (ok && !isNote) || next === undefined ? line : `${line}\n  next:     ${next}`;
}

/** A master that only leads workers needs nothing to run deckies with. */
function excuse(check: Check, idleHost: string): Check {
  if (check.ok) return check;
  const message = `${check.message}; needed for deckies on the host ${idleHost}, which has none`;
  return { ...check, ok: true, isNote: true, message };
}

interface Examined {
  readonly checks: Check[];
  readonly exit: number;
  /** The own host of a master on this machine, when none of the deckies are on it. */
  readonly idleHost?: string | undefined;
}

async function examine(context: ChosenContext): Promise<Examined> {
  const connection = connect(context);
  const token: Check = checkToken(context);
  try {
    const startedAt = Date.now();
    const me = await connection.access.whoAmI({}, { timeoutMs: askAtMostMs });
    const answeredAt = Date.now();
    const skewMs = me.serverTime === undefined ? 0 : timestampMs(me.serverTime) - (startedAt + answeredAt) / 2;
    return {
      exit: 0,
      idleHost: isLocal(context.address) ? await findIdleHost(connection, me.hostName || ownHost) : undefined,
      checks: [
        { name: "address", ok: true, message: `${context.address} answers in ${answeredAt - startedAt} ms` },
        { name: "token", ok: true, message: `${me.name}, ${word(Role, me.role)}` },
        {
          name: "clock",
          ok: Math.abs(skewMs) < mostSkewMs,
          message: `the master's differs by ${(Math.abs(skewMs) / 1_000).toFixed(1)}s`,
          next: "set both clocks by NTP",
        },
        {
          name: "versions",
          ok: version === me.serverVersion,
          message: `decnet ${version}, master ${me.serverVersion}`,
          next: "use the same version on both sides",
        },
      ],
    };
  } catch (error) {
    const failure = fromConnectError(error);
    const why = error instanceof Unreachable ? error : await connection.probe();
    const isRefused = failure.reason === "UNAUTHENTICATED" || failure.reason === "NOT_ALLOWED";
    const address: Check = isRefused
      ? { name: "address", ok: true, message: `${context.address} answers` }
      : {
          name: "address",
          ok: false,
          message: why?.message ?? `${context.address}: ${failure.message}`,
          next: why?.next[0] ?? "decnet up on the master's machine, or another --address",
        };
    const refused: Check = {
      ...token,
      ok: false,
      message: isRefused ? failure.message : token.message,
      next: failure.next[0] ?? "",
    };
    return { exit: isRefused ? 5 : 6, checks: [address, isRefused ? refused : token] };
  } finally {
    connection.close();
  }
}

async function findIdleHost({ fleet }: Connection, host: string): Promise<string | undefined> {
  const request = { filter: `host=${host}`, pageSize: 1 };
  // What cannot be listed may be there.
  const listed = await fleet.listDeckies(request, { timeoutMs: askAtMostMs }).catch(() => undefined);
  return listed?.deckies.length === 0 ? host : undefined;
}

function checkToken(context: ChosenContext): Check {
  if (context.token !== "") return { name: "token", ok: true, message: "from --token or DECNET_TOKEN" };
  try {
    const isThere = readFileSync(context.tokenFile, "utf8").trim() !== "";
    return { name: "token", ok: isThere, message: `${context.tokenFile}${isThere ? "" : " is empty"}` };
  } catch (error) {
    return {
      name: "token",
      ok: false,
      message: error instanceof Error ? error.message : String(error),
      next: "run as a user who may read it, or use --token-file",
    };
  }
}

function isLocal(address: string): boolean {
  return /^https?:\/\/(127\.|localhost|\[::1\])/.test(address);
}

/** Asks the engine itself, over its socket. */
function checkEngine(env: Cli["env"]): Promise<Check> {
  const socketPath = env["DECNET_DOCKER_SOCKET"] || "/var/run/docker.sock";
  const next = "start the Docker engine, or run as a user who may use its socket";
  return new Promise((resolve) => {
    const fail = (message: string) => resolve({ name: "docker", ok: false, message: `${socketPath}: ${message}`, next });
    const call = request({ socketPath, path: "/version", timeout: askAtMostMs }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", (error) => fail(error.message));
      response.on("end", () => resolve(judgeEngine(text)));
    });
    call.on("error", (error) => fail(error.message));
    call.on("timeout", () => call.destroy(new Error("no answer")));
    call.end();
  });
}

const oldestEngine = 25;

function judgeEngine(text: string): Check {
  let version = "";
  try {
    const answer: unknown = JSON.parse(text);
    version = isMap(answer) ? String(answer["Version"]) : "";
  } catch {
    return { name: "docker", ok: false, message: "it answers, but not like a Docker engine" };
  }
  const isNew = Number.parseInt(version, 10) >= oldestEngine;
  return {
    name: "docker",
    ok: isNew,
    message: `engine ${version}`,
    next: `engine ${oldestEngine} or newer pins MAC addresses; deckies work without, with the warning mac_not_pinned`,
  };
}

const pluginFolders = ["/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec"];

function checkCompose(): Check {
  const found = pluginFolders.map((folder) => `${folder}/docker/cli-plugins/docker-compose`).find((path) => existsSync(path));
  return found === undefined
    ? { name: "compose", ok: false, message: "no docker-compose plugin was found", next: "scripts/setup/all.sh installs it" }
    : { name: "compose", ok: true, message: found };
}
