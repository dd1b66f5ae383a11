import { createHash } from "node:crypto";
import { access, chmod, chown, mkdir, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import { execa } from "execa";

export interface PrivatePostgres {
  /** Folder of the Unix socket: the `host` of a connection. */
  readonly socketFolder: string;
  readonly database: string;
  readonly user: string;
  /** Starts the server again whenever it has ended, until aborted. What was committed is there then; whoever asked meanwhile was told to try again. */
  keepRunning(signal: AbortSignal, onRestart: () => void): Promise<void>;
  stop(): Promise<void>;
}

const role = "decnet";
const startTimeoutMs = 60_000;
const lookEveryMs = 1_000;

/**
 * A real PostgreSQL that the master runs for itself: cluster in `<dataDir>/postgres`, one Unix socket, no TCP, peer authentication.
 * The server is no child of the master: after a crash of the master it goes on, and the next call here takes it over.
 */
export async function openPrivatePostgres(dataDir: string): Promise<PrivatePostgres> {
  const bin = await findBinaries();
  const cluster = join(dataDir, "postgres");
  const data = join(cluster, "data");
  const isRoot = process.getuid?.() === 0;
  const owner = isRoot ? await userIds("postgres") : undefined;
  const socketFolder = join(isRoot ? "/run" : "/tmp", `decnet-${createHash("sha256").update(cluster).digest("hex").slice(0, 8)}`);
  for (const folder of [cluster, socketFolder]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    if (owner !== undefined) await chown(folder, owner.uid, owner.gid);
    await chmod(folder, 0o700);
  }
  const asOwner = (file: string, args: readonly string[]) =>
    isRoot
      ? execa("setpriv", [`--reuid=${owner?.uid}`, `--regid=${owner?.gid}`, "--clear-groups", file, ...args], {
          cwd: "/",
          reject: false,
          all: true,
          stdin: "ignore",
        })
      : execa(file, args, { cwd: "/", reject: false, all: true, stdin: "ignore" });
  const check = await asOwner("test", ["-w", cluster]);
  if (check.exitCode !== 0)
    throw storage(`the user postgres cannot reach ${cluster}; every folder above it must be searchable by others`);

  if (!(await exists(join(data, "PG_VERSION")))) {
    // A crash in the middle of making the cluster leaves a folder without a finished marker; it holds nothing yet.
    if (!(await exists(join(cluster, "made")))) await rm(data, { recursive: true, force: true });
    const made = await asOwner(join(bin, "initdb"), ["-D", data, "-U", role, "-A", "peer", "-E", "UTF8", "--locale=C"]);
    if (made.exitCode !== 0) throw storage(`making the database failed: ${made.all}`);
    await writeFile(join(cluster, "made"), "");
  }
  const me = isRoot ? "root" : (await execa("id", ["-un"])).stdout.trim();
  await writeFile(join(data, "pg_hba.conf"), "local all all peer map=decnet\n");
  await writeFile(join(data, "pg_ident.conf"), [...new Set([me, "postgres"])].map((user) => `decnet ${user} ${role}\n`).join(""));

  await startServer(asOwner, bin, data, socketFolder, cluster);
  return {
    socketFolder,
    database: "postgres",
    user: role,
    async keepRunning(signal, onRestart) {
      const look = async () => {
        if ((await livePid(data)) === "alive" || signal.aborted) return;
        onRestart();
        await startServer(asOwner, bin, data, socketFolder, cluster);
      };
      await repeatUntilAborted(lookEveryMs, signal, look, () => undefined);
    },
    async stop() {
      await asOwner(join(bin, "pg_ctl"), ["-D", data, "-w", "-t", "30", "-m", "fast", "stop"]);
      await rm(socketFolder, { recursive: true, force: true });
    },
  };
}

type Run = (file: string, args: readonly string[]) => PromiseLike<{ exitCode?: number | undefined; all?: unknown }>;

async function startServer(run: Run, bin: string, data: string, socketFolder: string, cluster: string): Promise<void> {
  const deadline = Date.now() + startTimeoutMs;
  const log = join(cluster, "server.log");
  for (;;) {
    const ready = await run(join(bin, "pg_isready"), ["-q", "-h", socketFolder, "-d", "postgres", "-U", role]);
    if (ready.exitCode === 0) return;
    if (Date.now() > deadline) throw storage(`the private database did not start within ${startTimeoutMs / 1000} s; see ${log}`);
    const running = await livePid(data);
    if (running === "gone") {
      const settings = [
        "listen_addresses=",
        "fsync=on",
        "shared_buffers=32MB",
        "max_connections=60",
        `unix_socket_directories=${socketFolder}`,
      ];
      const options = settings.map((setting) => `-c '${setting}'`).join(" ");
      await trimLog(log);
      // pg_ctl puts the server into a session of its own. A failure is looked at again: another server may just be ending.
      await run(join(bin, "pg_ctl"), ["-D", data, "-w", "-t", "30", "-l", log, "-o", options, "start"]);
    }
    await delay(running === "gone" ? 20 : 100);
  }
}

/** A killed server may linger as a zombie that still answers signals: its command line is empty. Such a lock file is stale. */
async function livePid(data: string): Promise<"alive" | "gone"> {
  const lock = join(data, "postmaster.pid");
  let pid: string;
  try {
    pid = (await readFile(lock, "utf8")).split("\n")[0] ?? "";
  } catch {
    return "gone";
  }
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  if (command.includes("postgres")) return "alive";
  await rm(lock, { force: true });
  return "gone";
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
  const [uid, gid] = await Promise.all([execa("id", ["-u", name]), execa("id", ["-g", name])]);
  return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
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
