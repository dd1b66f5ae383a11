import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CertificateAuthority } from "@decnet/common/pki/certificates";
import { execa } from "execa";
import { newAgent, newAuthority, newMaster } from "./certificates.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-ports.ts";

export interface PostgresServer {
  readonly port: number;
  /** Of the authority that signed the server's certificate. */
  readonly caFile: string;
  /** Of an authority that did not. */
  readonly otherCaFile: string;
  /** Certificates and keys of clients: for the user and the database `certified`, who has no password; and a stranger's. */
  readonly client: ClientFiles;
  readonly otherClient: ClientFiles;
  /** What a master is given: verified TLS and the right password, unless told otherwise. */
  url(more?: { password?: string; user?: string; host?: string; database?: string; query?: string }): string;
  /** Runs statements as the server's superuser, over its socket; returns the lines of the answer. */
  admin(text: string, database?: string): Promise<string[]>;
  /** From now on the master's user has another password, and has to connect again. */
  changePassword(to: "another" | "the right one"): Promise<void>;
  dispose(): Promise<void>;
}

export interface ClientFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

const role = "decnet";
/** What a URL has to write in another way, and a shell or a line of a file too. */
const password = `p@ss:w/rd %41?#'"\\ é`;
const startMs = 30_000;

/**
 * A real PostgreSQL server of the test's own, as one that somebody else runs: reached over TCP, by TLS and with a password
 * (scram-sha-256) alone. It has an empty database for a master.
 */
export async function usePostgres(address = "127.0.0.1"): Promise<PostgresServer> {
  const folder = await mkdtemp(join(tmpdir(), "decnet-server-"));
  const at = (name: string) => join(folder, name);
  const bin = await findBinaries();
  const asOwner = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
  const run = (file: string, args: string[]) => execa("setpriv", [...asOwner, join(bin, file), ...args], { cwd: "/", input: "" });
  const port = await freePort(address);
  let server: ChildProcess | undefined;
  const dispose = async () => {
    if (server !== undefined && server.exitCode === null && server.signalCode === null) {
      const exit = once(server, "exit");
      server.kill("SIGINT");
      const late = setTimeout(() => server?.kill("SIGQUIT"), 10_000);
      await exit;
      clearTimeout(late);
    }
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const [authority, stranger] = await Promise.all([newAuthority(), newAuthority()]);
    const { keyPem, certPem } = await newMaster(authority, address);
    const files = { "ca.pem": authority.certPem, "other-ca.pem": stranger.certPem, "server.pem": certPem, "server.key": keyPem };
    for (const [name, text] of Object.entries(files)) await writeFile(at(name), text);
    await chmod(at("server.key"), 0o600);
    await execa("chown", ["-R", "postgres:postgres", folder]);
    await chmod(folder, 0o711);
    const [client, otherClient] = await Promise.all([writeClient(at("client"), authority), writeClient(at("other"), stranger)]);
    await run("initdb", ["-D", at("data"), "-U", "postgres", "-A", "peer", "-E", "UTF8", "--locale=C"]);
    const rules = ["local all postgres peer", "hostssl all certified all cert map=any", "hostssl all all all scram-sha-256", ""];
    await writeFile(at("data/pg_hba.conf"), rules.join("\n"));
    await writeFile(at("data/pg_ident.conf"), "any /^.*$ certified\n");
    const settings = {
      ...{ listen_addresses: address, port: String(port), unix_socket_directories: folder, max_connections: "100" },
      ...{ ssl: "on", ssl_cert_file: at("server.pem"), ssl_key_file: at("server.key"), ssl_min_protocol_version: "TLSv1.2" },
      ssl_ca_file: at("ca.pem"),
      ...{ password_encryption: "scram-sha-256", shared_buffers: "32MB", fsync: "on" },
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    // It ends with the test, also when that is killed.
    const args = ["--pdeathsig", "SIGQUIT", ...asOwner, join(bin, "postgres"), "-D", at("data"), ...flags];
    server = spawn("setpriv", args, { cwd: "/", stdio: "ignore" });
    const admin: PostgresServer["admin"] = async (text, database = "postgres") => {
      const place = ["-h", folder, "-p", String(port), "-d", database];
      const { stdout } = await run("psql", [...place, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text]);
      return stdout.split("\n").filter((line) => line !== "");
    };
    await eventually(() => admin("SELECT 1").catch(() => undefined), startMs);
    const quoted = `'${password.replaceAll("'", "''")}'`;
    await admin(`CREATE ROLE ${role} LOGIN PASSWORD ${quoted}`);
    await admin(`CREATE DATABASE ${role} OWNER ${role} ENCODING UTF8 TEMPLATE template0`);
    await admin("CREATE ROLE certified LOGIN");
    await admin("CREATE DATABASE certified OWNER certified ENCODING UTF8 TEMPLATE template0");
    return {
      port,
      client,
      otherClient,
      caFile: at("ca.pem"),
      otherCaFile: at("other-ca.pem"),
      url(more = {}) {
        const { user = role, host = address, database = role } = more;
        const word = encodeURIComponent(more.password ?? password);
        const query = more.query ?? `sslmode=verify-full&sslrootcert=${at("ca.pem")}`;
        return `postgresql://${user}:${word}@${host}:${port}/${database}?${query}`;
      },
      admin,
      async changePassword(to) {
        await admin(`ALTER ROLE ${role} PASSWORD ${to === "another" ? "'another'" : quoted}`);
        await admin(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role}'`);
      },
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Owned by who runs the test: programs of PostgreSQL take no key of anybody else. */
async function writeClient(path: string, authority: CertificateAuthority): Promise<ClientFiles> {
  const { keyPem, certPem } = await newAgent(authority);
  const files = { certFile: `${path}.pem`, keyFile: `${path}.key` };
  await writeFile(files.certFile, certPem);
  await writeFile(files.keyFile, keyPem, { mode: 0o600 });
  return files;
}

async function findBinaries(): Promise<string> {
  const [newest] = (await readdir("/usr/lib/postgresql")).sort((one, other) => Number(other) - Number(one));
  return `/usr/lib/postgresql/${newest}/bin`;
}
