import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import pg from "pg";
import { addressOf, type DatabaseAddress } from "./hear.ts";

/** How a program of PostgreSQL is told where a database is. */
export interface LibpqConnection {
  readonly args: string[];
  readonly env: Record<string, string>;
  /** Once the program has ended. */
  dispose(): Promise<void>;
}

/** What the driver makes of a URL and of the environment; not all of it is in its types. */
interface Resolved {
  readonly host: string;
  readonly port: number;
  readonly user?: string | undefined;
  readonly password?: unknown;
  readonly database?: string | undefined;
  readonly ssl: unknown;
  readonly connectionParameters?: { readonly options?: unknown };
}

interface TlsOptions {
  readonly rejectUnauthorized?: boolean;
  readonly checkServerIdentity?: unknown;
}

/**
 * The same database as the driver connects to, as the same user and as strictly. The URL itself would not do: the driver reads
 * sslmode=require as verify-full and libpq does not, libpq knows no authorities of its own, and refuses what only the driver
 * knows. A password never is an argument, which others on the machine can see.
 */
export async function libpqOf(address: DatabaseAddress): Promise<LibpqConnection> {
  const client = new pg.Client(addressOf(address).connection) as unknown as Resolved;
  const { host, port, user = "", password, database = "", ssl, connectionParameters } = client;
  const { options } = connectionParameters ?? {};
  const env: Record<string, string> = { PGHOST: host, PGPORT: String(port), PGUSER: user };
  if (typeof password === "string" && password !== "") env["PGPASSWORD"] = password;
  if (typeof options === "string" && options !== "") env["PGOPTIONS"] = options;
  // Without it, pg_restore would only write out what it would do.
  const args = ["-d", `dbname='${database.replaceAll(/[\\']/g, "\\$&")}'`];
  const tls =
    "url" in address
      ? await tlsOf(new URL(address.url).searchParams, ssl, address.extraRootsFile ?? "")
      : { env: { PGSSLMODE: "disable" }, dispose: async () => undefined };
  return { args, env: { ...env, ...tls.env }, dispose: tls.dispose };
}

async function tlsOf(given: URLSearchParams, ssl: unknown, extraFile: string): Promise<Pick<LibpqConnection, "env" | "dispose">> {
  const nothing = async () => undefined;
  if (ssl === false || ssl === undefined || ssl === null) return { env: { PGSSLMODE: "disable" }, dispose: nothing };
  const files = Object.fromEntries(
    Object.entries({ PGSSLROOTCERT: "sslrootcert", PGSSLCERT: "sslcert", PGSSLKEY: "sslkey" }).flatMap(([name, key]) => {
      const file = given.get(key) ?? "";
      return file === "" ? [] : [[name, file]];
    }),
  );
  const mode = modeOf(typeof ssl === "object" ? (ssl as TlsOptions) : {});
  if (mode === "require" || files["PGSSLROOTCERT"] !== undefined) return { env: { PGSSLMODE: mode, ...files }, dispose: nothing };
  const folder = await mkdtemp(join(tmpdir(), "decnet-roots-"));
  const roots = join(folder, "roots.pem");
  await writeFile(roots, await ownRoots(extraFile));
  return {
    env: { PGSSLMODE: mode, ...files, PGSSLROOTCERT: roots },
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}

function modeOf({ rejectUnauthorized, checkServerIdentity }: TlsOptions): string {
  if (rejectUnauthorized === false) return "require";
  return checkServerIdentity === undefined ? "verify-full" : "verify-ca";
}

/** Whom this process trusts when nobody is named. */
async function ownRoots(extraFile: string): Promise<string> {
  // One that cannot be read is left out by Node.js as well.
  const extra = extraFile === "" ? "" : await readFile(extraFile, "utf8").catch(() => "");
  return [...rootCertificates, extra].join("\n");
}
