import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { libpqOf } from "./libpq.ts";

describe("where PostgreSQL's own programs are told a database is", () => {
  let folder: string;
  let file: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    file = join(folder, "ca.pem");
    await writeFile(file, "an authority");
  });
  afterAll(() => rm(folder, { recursive: true }));

  const of = async (url: string) => {
    const { args, env, dispose } = await libpqOf({ url });
    await dispose();
    return { args, env };
  };
  const tlsOf = async (query: string) => {
    const { env } = await of(`postgresql://decnet@db/decnet?${query}`);
    return Object.fromEntries(Object.entries(env).filter(([name]) => name.startsWith("PGSSL")));
  };

  it("is what the driver connects to, the password in no argument", async () => {
    expect(await of("postgresql://de%40c:p%40ss%3A%2F%25@[::1]:6543/it's%5C?options=-c%20search_path%3Dx")).toEqual({
      args: ["-d", String.raw`dbname='it\'s\\'`],
      env: {
        ...{ PGHOST: "::1", PGPORT: "6543", PGUSER: "de@c", PGPASSWORD: "p@ss:/%", PGOPTIONS: "-c search_path=x" },
        PGSSLMODE: "disable",
      },
    });
    expect(await libpqOf({ socketFolder: "/run/x", database: "postgres", user: "decnet" })).toMatchObject({
      args: ["-d", "dbname='postgres'"],
      env: { PGHOST: "/run/x", PGUSER: "decnet", PGSSLMODE: "disable" },
    });
  });

  it.each([
    ["", { PGSSLMODE: "disable" }],
    ["sslmode=disable", { PGSSLMODE: "disable" }],
    // What the driver takes for verify-full, and libpq for much less.
    ["sslmode=prefer&sslrootcert=FILE", { PGSSLMODE: "verify-full", PGSSLROOTCERT: "FILE" }],
    ["sslmode=require&sslrootcert=FILE", { PGSSLMODE: "verify-full", PGSSLROOTCERT: "FILE" }],
    ["sslmode=verify-full&sslrootcert=FILE", { PGSSLMODE: "verify-full", PGSSLROOTCERT: "FILE" }],
    ["sslrootcert=FILE", { PGSSLMODE: "verify-full", PGSSLROOTCERT: "FILE" }],
    [
      "sslmode=verify-full&sslrootcert=FILE&sslcert=FILE&sslkey=FILE",
      { PGSSLMODE: "verify-full", PGSSLROOTCERT: "FILE", PGSSLCERT: "FILE", PGSSLKEY: "FILE" },
    ],
    // What libpq does not know.
    ["sslmode=no-verify", { PGSSLMODE: "require" }],
    ["uselibpqcompat=true&sslmode=require", { PGSSLMODE: "require" }],
    ["uselibpqcompat=true&sslmode=verify-ca&sslrootcert=FILE", { PGSSLMODE: "verify-ca", PGSSLROOTCERT: "FILE" }],
  ])("is as strict as the driver: %s", async (query, expected) => {
    const inPlace = (text: string) => text.replaceAll("FILE", file);
    const wanted = Object.entries(expected).map(([name, value]) => [name, inPlace(value)]);
    expect(await tlsOf(inPlace(query))).toEqual(Object.fromEntries(wanted));
  });

  it("has the authorities of this process when no file is named, for as long as it takes", async () => {
    const { env, dispose } = await libpqOf({ url: "postgresql://decnet@db/decnet?sslmode=verify-full" });
    const roots = env["PGSSLROOTCERT"] ?? "";
    expect(await readFile(roots, "utf8")).toContain(rootCertificates[0]);
    await dispose();
    await expect(access(roots)).rejects.toThrow("ENOENT");
  });
});
