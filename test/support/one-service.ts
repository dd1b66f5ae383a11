import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { coerceConfig } from "@decnet/engine/catalog/coerce";
import { containerSettings } from "@decnet/engine/catalog/effective";
import { loadCatalog } from "@decnet/engine/catalog/load";
import type { ServiceDefinition } from "@decnet/engine/catalog/types";
import { sized } from "@decnet/engine/render/said";
import { execa } from "execa";
import { pidOf } from "./ask-engine.ts";
import { ownCatalog } from "./catalogs.ts";
import { serviceImages } from "./service-images.ts";
import { eventually } from "./use-master.ts";

/** A service's container in a network namespace of its own, with settings as a caller gives them. */
export interface OneService {
  /** Runs a program of this machine in the namespace of the container. */
  run(file: string, args: readonly string[], input?: string): Promise<{ readonly stdout: string; readonly stderr: string }>;
  /** Holds a conversation: waits for each text, then sends what belongs to it. Returns all that was received. */
  talk(port: number, turns: readonly Turn[]): Promise<string>;
}

export type Turn = readonly [awaited: string, send: string];

let started = 0;

/** Starts the service as its decky would, calls `use` when it listens, and removes it. */
export async function withService<T>(
  slug: string,
  given: Record<string, unknown>,
  use: (service: OneService) => Promise<T>,
): Promise<T> {
  const entry = (await loadCatalog([ownCatalog])).services.get(slug);
  if (entry === undefined) throw new Error(`no ${slug} in the catalog`);
  const [image] = await serviceImages([entry]);
  const settings = containerSettings(entry, coerceConfig(entry, given));
  const folder = await mkdtemp(join(tmpdir(), "decnet-secrets-"));
  started += 1;
  const name = `t${process.env["DECNET_TEST_RUN"] ?? ""}one${process.pid}-${started}`;
  try {
    for (const [key, text] of Object.entries(settings.secrets)) await writeFile(join(folder, key), text, { mode: 0o444 });
    await execa("chmod", ["755", folder]);
    await execa("docker", [
      "run",
      "-d",
      "--name",
      name,
      "--network",
      "none",
      ...flags(entry, settings.env, Object.keys(settings.secrets).length === 0 ? undefined : folder),
      image?.tag ?? "",
    ]);
    const pid = String(await pidOf(name));
    await listening(entry, pid, name);
    const enter = ["-t", pid, "-n"];
    return await use({
      run: (file, args, input = "") => execa("nsenter", [...enter, file, ...args], { input, reject: false, timeout: 20_000 }),
      talk: async (port, turns) =>
        (
          await execa("nsenter", [...enter, process.execPath, "-e", conversation, String(port), JSON.stringify(turns)], {
            timeout: 30_000,
          })
        ).stdout,
    });
  } finally {
    await execa("docker", ["rm", "-fv", name], { reject: false });
    await rm(folder, { recursive: true, force: true });
  }
}

function flags(entry: ServiceDefinition, env: Readonly<Record<string, string>>, folder: string | undefined): string[] {
  return [
    ...["--init", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", String(entry.user)],
    ...["--sysctl", "net.ipv4.ip_unprivileged_port_start=0", "--memory", `${entry.limits.memoryMb}m`],
    ...entry.capabilities.flatMap((each) => ["--cap-add", each]),
    ...entry.tmpfs.flatMap((each) => ["--tmpfs", sized(each)]),
    ...(entry.readOnlyRoot ? ["--read-only"] : []),
    // Keys that are made once are enough for all cases.
    ...entry.volumes.flatMap((each) => [
      "-v",
      `t${process.env["DECNET_TEST_RUN"] ?? ""}-${entry.slug}-${each.name}:${each.path}`,
    ]),
    ...(folder === undefined ? [] : ["-v", `${folder}:/run/decnet/secrets:ro`]),
    ...Object.entries(env).flatMap(([key, value]) => ["-e", `${key}=${value}`]),
  ];
}

async function listening(entry: ServiceDefinition, pid: string, name: string): Promise<void> {
  const port = (entry.ports[0]?.number ?? 0).toString(16).toUpperCase().padStart(4, "0");
  await eventually(async () => {
    const { stdout } = await execa("cat", [`/proc/${pid}/net/tcp`, `/proc/${pid}/net/tcp6`], { reject: false });
    if (new RegExp(`:${port} \\S+ 0A`).test(stdout)) return true;
    const running = (await execa("docker", ["inspect", "--format", "{{.State.Running}}", name])).stdout === "true";
    if (!running) throw new Error((await execa("docker", ["logs", name], { all: true })).all);
    return false;
  });
}

/** Removes the volumes that the services of this file shared. */
export async function removeSharedVolumes(slug: string): Promise<void> {
  const prefix = `t${process.env["DECNET_TEST_RUN"] ?? ""}-${slug}-`;
  const { stdout } = await execa("docker", ["volume", "ls", "-q", "--filter", `name=${prefix}`]);
  if (stdout !== "") await execa("docker", ["volume", "rm", ...stdout.split("\n")]);
}

/** Telnet options are refused, but BINARY: without it a letter beyond ASCII may lose its eighth bit. */
export const conversation = `
const [port, turns] = [Number(process.argv[1]), JSON.parse(process.argv[2])];
const socket = require("node:net").connect(port, "127.0.0.1");
let seen = "", from = 0;
const bytes = [];
socket.on("data", (chunk) => {
  for (let at = 0; at < chunk.length; at += 1) {
    if (chunk[at] !== 255) { bytes.push(chunk[at]); continue; }
    const [verb, option] = [chunk[at + 1], chunk[at + 2]];
    if (verb === 253) socket.write(Buffer.from([255, option === 0 ? 251 : 252, option]));
    if (verb === 251) socket.write(Buffer.from([255, option === 0 ? 253 : 254, option]));
    at += 2;
  }
  seen = Buffer.from(bytes).toString();
  while (turns.length > 0) {
    const found = seen.indexOf(turns[0][0], from);
    if (found < 0) break;
    from = found + turns[0][0].length;
    const [, text] = turns.shift();
    if (text !== "") socket.write(text);
    if (turns.length === 0) socket.destroy();
  }
});
const end = () => { process.stdout.write(seen); process.exit(0); };
socket.on("close", end).on("error", end);
setTimeout(end, 15000);
`;
