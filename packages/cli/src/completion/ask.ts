import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import http from "node:http";
import { homedir } from "node:os";
import { join } from "node:path";
import type { ChosenContext } from "../contexts/contexts.ts";
import { isMap } from "../maps.ts";
import { addressOf } from "../reach/address.ts";

type Env = Readonly<Record<string, string | undefined>>;
export type Answer = Readonly<Record<string, unknown>>;

const freshMs = 5_000;
/** What is older says nothing about today. */
const usableMs = 3_600_000;
const askAtMostMs = 100;

/**
 * Asks the master, in JSON over HTTP/1.1: a shell waits at each key press, and the libraries for gRPC take longer to load than
 * everything here. Cached for 5 s; when the master is slow or away, older answers are better than none.
 */
export async function askMaster(context: ChosenContext, env: Env, method: string, body: object): Promise<Answer> {
  const folder = join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "decnet");
  const token = context.token || readToken(context.tokenFile);
  const key = JSON.stringify([context.address, token, method, body]);
  const path = join(folder, `known-${createHash("sha256").update(key).digest("hex").slice(0, 24)}.json`);
  const kept = readKept(path);
  if (kept !== undefined && kept.ageMs < freshMs) return kept.answer;
  try {
    const answer = await post(context, token, method, body);
    keep(folder, path, answer);
    return answer;
  } catch {
    return kept?.answer ?? {};
  }
}

async function post(context: ChosenContext, token: string, method: string, body: object): Promise<Answer> {
  const address = addressOf(context);
  const url = `${address.url}/decnet.v1.${method}`;
  const signal = AbortSignal.timeout(askAtMostMs);
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  // An agent of its own goes by no proxy, whatever the environment says.
  const options = { method: "POST", signal, headers, agent: false } as const;
  const request = address.isTls ? await secure(url, options, context.ca) : http.request(url, options);
  return new Promise((resolve, reject) => {
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(parse(text));
        else reject(new Error(String(response.statusCode)));
      });
    });
    request.end(JSON.stringify(body));
  });
}

async function secure(url: string, options: http.RequestOptions, ca: string): Promise<http.ClientRequest> {
  const [{ default: https }, { tlsFor }, { connectionOptions }] = await Promise.all([
    import("node:https"),
    import("../reach/trust.ts"),
    import("@decnet/common/rpc/client-tls"),
  ]);
  return https.request(url, { ...options, ...connectionOptions(tlsFor(ca)) });
}

function parse(text: string): Answer {
  const document: unknown = JSON.parse(text);
  return isMap(document) ? document : {};
}

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}

function readKept(path: string): { answer: Answer; ageMs: number } | undefined {
  try {
    const ageMs = Date.now() - statSync(path).mtimeMs;
    return ageMs > usableMs ? undefined : { answer: parse(readFileSync(path, "utf8")), ageMs };
  } catch {
    return undefined;
  }
}

/** What the master says holds no secrets; only its owner can read it all the same. */
function keep(folder: string, path: string, answer: Answer): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const fresh = `${path}.${process.pid}`;
    writeFileSync(fresh, JSON.stringify(answer), { mode: 0o600 });
    renameSync(fresh, path);
  } catch {
    // Without a cache folder every key press asks the master.
  }
}
