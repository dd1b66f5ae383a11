import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import type { Cli } from "../cli.ts";
import { connect } from "../connection.ts";
import { isMap } from "../maps.ts";

/** What completion offers: only names and states, never a decky's settings or secrets. */
export interface Known {
  readonly deckies: readonly { name: string; host: string; state: DeckyState; services: readonly string[] }[];
  readonly services: readonly {
    slug: string;
    summary: string;
    fields: readonly { key: string; help: string; secret: boolean; values: readonly string[] }[];
  }[];
}

const freshMs = 5_000;
const askAtMostMs = 300;

/** From the master, at most 300 ms; cached for 5 s, because a shell asks at each key press. */
export async function readKnown(cli: Cli): Promise<Known> {
  const context = cli.chosen();
  const folder = join(cli.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "decnet");
  const path = join(folder, `known-${createHash("sha256").update(context.address).digest("hex").slice(0, 16)}.json`);
  const kept = readKept(path);
  if (kept !== undefined) return kept;
  const connection = connect(context);
  try {
    const [{ deckies }, { services }] = await Promise.all([
      connection.fleet.listDeckies({ pageSize: 1_000 }, { timeoutMs: askAtMostMs }),
      connection.catalog.listServices({}, { timeoutMs: askAtMostMs }),
    ]);
    const known: Known = {
      deckies: deckies.map((decky) => ({
        name: decky.ref?.name ?? "",
        host: decky.host,
        state: decky.state,
        services: decky.services.map(({ slug }) => slug),
      })),
      services: services
        .filter((service) => !service.singleton)
        .map(({ slug, summary, fields }) => ({
          slug,
          summary,
          fields: fields.map(({ key, help, label, secret, enumValues }) => ({
            key,
            help: help || label,
            secret,
            values: enumValues,
          })),
        })),
    };
    keep(folder, path, known);
    return known;
  } finally {
    connection.close();
  }
}

function readKept(path: string): Known | undefined {
  try {
    if (Date.now() - statSync(path).mtimeMs > freshMs) return undefined;
    const document: unknown = JSON.parse(readFileSync(path, "utf8"));
    return isKnown(document) ? document : undefined;
  } catch {
    return undefined;
  }
}

/** The file is our own and 0600: checking its outline is enough. */
function isKnown(document: unknown): document is Known {
  return isMap(document) && Array.isArray(document["deckies"]) && Array.isArray(document["services"]);
}

function keep(folder: string, path: string, known: Known): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(path, JSON.stringify(known), { mode: 0o600 });
  } catch {
    // Without a cache folder every key press asks the master.
  }
}
