import { createHash } from "node:crypto";
import type { Stats } from "node:fs";
import { access, chmod, chown, mkdir, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { backoffMs } from "@decnet/common/runtime/backoff";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import { type ProgramResult, runProgram } from "@decnet/common/runtime/start-program";

export interface PrivatePostgres {
  /** Folder of the Unix socket: the `host` of a connection. */
  readonly socketFolder: string;
  readonly database: string;
  readonly user: string;
  /**
   * Starts the server again whenever it has ended, until aborted. What was committed is there then; callers were told meanwhile
   * to try again.
   */
  keepRunning(signal: AbortSignal, onRestart: () => void): Promise<void>;
  stop(): Promise<void>;
}

const role = "decnet";
const startTimeoutMs = 60_000;
const startBackoff = { baseMs: 40, maxMs: 5_000 };
const lookEveryMs = 1_000;
const socketName = ".s.PGSQL.5432";

/**
 * A real PostgreSQL that the master runs for itself: cluster in `<dataDir>/postgres`, one Unix socket, no TCP, peer
 * authentication. The server is not a child of the master: after a crash of the master it goes on, and the next call here takes
 * it over. A caller that runs a server holds the lock on the data folder, and says whether it still does: in a folder that is
 * somebody else's by now, nothing is started and nothing is stopped. When starting is aborted, what was begun is stopped.
 */
export async function openPrivatePostgres(
  dataDir: string,
  signal: AbortSignal = new AbortController().signal,
  isHeld: () => Promise<boolean> = async () => true,
): Promise<PrivatePostgres> {
  const place = await openPlace(dataDir, isHeld);
  const { cluster, data, bin, run, isRoot, socketFolder } = place;
  const check = await run("test", ["-w", cluster]);
  if (check.exitCode !== 0)
    throw storage(`the user postgres cannot reach ${cluster}; every folder above it must be searchable by others`);

  if (!(await exists(join(data, "PG_VERSION")))) {
    // A crash in the middle of making the cluster leaves a folder without a finished marker; it holds nothing yet.
    if (!(await exists(join(cluster, "made")))) await rm(data, { recursive: true, force: true });
    const made = await run(join(bin, "initdb"), ["-D", data, "-U", role, "-A", "peer", "-E", "UTF8", "--locale=C"], signal);
    signal.throwIfAborted();
    if (made.exitCode !== 0) throw storage(`making the database failed: ${made.output}`);
    await writeFile(join(cluster, "made"), "");
  }
  const me = isRoot ? "root" : userInfo().username;
  await writeFile(join(data, "pg_hba.conf"), "local all all peer map=decnet\n");
  await writeFile(join(data, "pg_ident.conf"), [...new Set([me, "postgres"])].map((user) => `decnet ${user} ${role}\n`).join(""));

  const own = await stat(data);
  let pid = "";
  try {
    await startServer(place, signal);
    pid = await readPid(place);
  } catch (error) {
    await stopServer(place);
    throw error;
  }
  return {
    socketFolder,
    database: "postgres",
    user: role,
    async keepRunning(ending, onRestart) {
      const look = async () => {
        if (!(await place.isOurs())) return;
        const state = await readState(place);
        if (state === "serving" || state === "starting" || ending.aborted) return;
        onRestart();
        await startServer(place, ending);
        pid = await readPid(place);
      };
      await repeatUntilAborted(lookEveryMs, ending, look, () => undefined);
    },
    async stop() {
      if (await place.isOurs()) return stopServer(place);
      // Its folder was taken away under it: it ends, unless whoever has the folder now has taken it over.
      const now = await stat(data).catch(() => undefined);
      if (now?.ino !== own.ino && (await worksIn(pid, own, data))) process.kill(Number(pid), "SIGQUIT");
    },
  };
}

interface Place {
  readonly bin: string;
  readonly cluster: string;
  readonly data: string;
  readonly socketFolder: string;
  readonly isRoot: boolean;
  /** Runs a program as the owner of the cluster, who is never root; an aborted one is ended. */
  run(file: string, args: readonly string[], signal?: AbortSignal): Promise<ProgramResult>;
  makeFolders(): Promise<void>;
  /** False once the folder is another one, or somebody else's. */
  isOurs(): Promise<boolean>;
}

async function openPlace(dataDir: string, isHeld: () => Promise<boolean>): Promise<Place> {
  const cluster = join(dataDir, "postgres");
  const isRoot = process.getuid?.() === 0;
  const owner = isRoot ? await userIds("postgres") : undefined;
  await mkdir(cluster, { recursive: true, mode: 0o700 });
  const { ino } = await stat(cluster);
  // Of this very folder: a server whose folder was replaced is not taken for the one of the new folder.
  const mark = createHash("sha256").update(`${cluster} ${ino}`).digest("hex").slice(0, 8);
  const socketFolder = join(isRoot ? "/run" : "/tmp", `decnet-${mark}`);
  const place: Place = {
    bin: await findBinaries(),
    cluster,
    data: join(cluster, "data"),
    socketFolder,
    isRoot,
    async run(file, args, signal) {
      const prefix = owner === undefined ? [] : ["setpriv", `--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups"];
      const [program = file, ...rest] = [...prefix, file, ...args];
      return runProgram(program, rest, { cwd: "/", ...(signal === undefined ? {} : { signal }) });
    },
    async makeFolders() {
      for (const folder of [cluster, socketFolder]) {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        if (owner !== undefined) await chown(folder, owner.uid, owner.gid);
        await chmod(folder, 0o700);
      }
    },
    isOurs: async () => (await stat(cluster).catch(() => undefined))?.ino === ino && (await isHeld()),
  };
  await place.makeFolders();
  return place;
}

/** Also makes again what a server needs and somebody removed. */
async function startServer(place: Place, signal: AbortSignal): Promise<void> {
  const { bin, data, cluster, socketFolder, run } = place;
  const deadline = Date.now() + startTimeoutMs;
  const log = join(cluster, "server.log");
  for (let failures = 0; ; ) {
    signal.throwIfAborted();
    if (!(await place.isOurs())) throw storage(`the folder ${cluster} is not this master's any more`);
    const state = await readState(place);
    if (state === "serving" && (await isReady(place))) return;
    if (Date.now() > deadline) throw storage(`the private database did not start within ${startTimeoutMs / 1000} s; see ${log}`);
    if (state === "deaf") await stopServer(place);
    if (state === "gone" || state === "deaf") {
      const settings = [
        "listen_addresses=",
        "fsync=on",
        "shared_buffers=32MB",
        "max_connections=60",
        `unix_socket_directories=${socketFolder}`,
      ];
      const options = settings.map((setting) => `-c '${setting}'`).join(" ");
      await place.makeFolders();
      await trimLog(log);
      // pg_ctl puts the server into a session of its own. A failure is looked at again: another server may just be ending.
      await run(join(bin, "pg_ctl"), ["-D", data, "-w", "-t", "30", "-l", log, "-o", options, "start"], signal);
      failures += 1;
    }
    const waitMs = state === "starting" ? 100 : backoffMs(failures, startBackoff, Math.random);
    await delay(waitMs, undefined, { signal }).catch(() => undefined);
  }
}

/** One that takes no connections has nothing to finish: it is not waited for, and recovers when it is started again. */
async function stopServer(place: Place): Promise<void> {
  const { bin, data, socketFolder, run } = place;
  if (!(await place.isOurs())) return;
  if ((await readState(place)) !== "gone") {
    const how = (await isReady(place)) ? ["-t", "30", "-m", "fast"] : ["-t", "2", "-m", "immediate"];
    await run(join(bin, "pg_ctl"), ["-D", data, "-w", ...how, "stop"]);
  }
  if (await place.isOurs()) await rm(socketFolder, { recursive: true, force: true });
}

async function isReady({ bin, socketFolder, run }: Place): Promise<boolean> {
  const args = ["-q", "-t", "1", "-h", socketFolder, "-d", "postgres", "-U", role];
  return (await run(join(bin, "pg_isready"), args)).exitCode === 0;
}

/** "deaf": it runs, and nobody reaches it, because its socket was removed or is in a folder of another time. */
type ServerState = "gone" | "starting" | "serving" | "deaf";

/**
 * The server's lock file may be stale, and its process number that of anybody by now: a server of ours works in the data folder.
 */
async function readState({ data, socketFolder }: Place): Promise<ServerState> {
  const lock = join(data, "postmaster.pid");
  let lines: string[];
  try {
    lines = (await readFile(lock, "utf8")).split("\n");
  } catch (error) {
    // Only then is it not there: what cannot be read is not started a second time.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "gone";
    throw error;
  }
  const [pid = "", , , , socketIn = ""] = lines;
  const folder = await stat(data);
  if (!(await worksIn(pid, folder, data))) {
    await rm(lock, { force: true });
    return "gone";
  }
  if (socketIn === "") return "starting";
  return socketIn === socketFolder && (await exists(join(socketFolder, socketName))) ? "serving" : "deaf";
}

async function readPid({ data }: Place): Promise<string> {
  return (await readFile(join(data, "postmaster.pid"), "utf8").catch(() => "")).split("\n")[0] ?? "";
}

/**
 * Root without the right to look into another user's processes, as in some containers, goes by what the process was started as
 * and whose it is.
 */
async function worksIn(pid: string, folder: Stats, path: string): Promise<boolean> {
  if (!/^\d+$/.test(pid)) return false;
  const its = await stat(`/proc/${pid}/cwd`).catch((error: NodeJS.ErrnoException) => error.code ?? "");
  if (typeof its !== "string") return its.dev === folder.dev && its.ino === folder.ino;
  if (its !== "EACCES" && its !== "EPERM") return false;
  const [owner, line] = await Promise.all([
    stat(`/proc/${pid}`).catch(() => undefined),
    readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
  ]);
  if (owner?.uid !== folder.uid) return false;
  const said = folderOf(line.split("\0"));
  if (said === undefined || said === path) return said === path;
  // The folder was moved, or is seen under another path: one that cannot be looked at counts as this one.
  const other = await stat(said).catch(() => undefined);
  return other === undefined || (other.dev === folder.dev && other.ino === folder.ino);
}

/** The folder of a server, as pg_ctl starts it; undefined for any other program. */
function folderOf([program = "", ...args]: readonly string[]): string | undefined {
  const at = args.indexOf("-D");
  return /(^|\/)postgres$/.test(program) && at !== -1 ? args[at + 1] : undefined;
}

async function trimLog(log: string): Promise<void> {
  try {
    const handle = await open(log, "r+");
    if ((await handle.stat()).size > 10 << 20) await handle.truncate(0);
    await handle.close();
  } catch {
    // There is no log yet.
  }
}

async function findBinaries(): Promise<string> {
  const versions = (await readdir("/usr/lib/postgresql").catch(() => [])).sort((left, right) => Number(right) - Number(left));
  for (const version of versions) {
    const bin = `/usr/lib/postgresql/${version}/bin`;
    if (await exists(join(bin, "initdb"))) return bin;
  }
  throw storage("PostgreSQL's server programs are not installed; install the package `postgresql`, or set DECNET_DATABASE_URL");
}

async function userIds(name: string): Promise<{ uid: number; gid: number }> {
  const [uid, gid] = await Promise.all([runProgram("id", ["-u", name]), runProgram("id", ["-g", name])]);
  if (uid.exitCode !== 0 || gid.exitCode !== 0) throw storage(`there is no user ${name}: ${uid.output}`);
  return { uid: Number(uid.output), gid: Number(gid.output) };
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

function storage(message: string): AppError {
  return new AppError("STORAGE_UNAVAILABLE", message);
}
