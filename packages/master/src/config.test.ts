import { AppError } from "@decnet/common/errors/app-error";
import { expect, it } from "vitest";
import { parseMasterConfig } from "./config.ts";

const parse = (env: Record<string, string>) => parseMasterConfig(env, "/own");

/** The variables that are refused, in the order of their names. */
function refused(env: Record<string, string>): string[] {
  try {
    parse(env);
    return [];
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    expect(error.reason).toBe("SETTINGS_INVALID");
    return error.violations.map(({ field }) => field).sort();
  }
}

it("an empty environment is enough, and an empty variable is one that is not set", () => {
  for (const env of [{}, { DECNET_PORT: "", DECNET_HOST: "", DECNET_TLS_HOST: "", DECNET_DATABASE_URL: "" }])
    expect(parse(env)).toMatchObject({ host: "127.0.0.1", port: 7440, tls: undefined, databaseUrl: undefined });
});

it.each(["127.0.0.1", "127.3.2.1", "::1", "localhost"])("plaintext on %s stays on this machine", (host) => {
  expect(parse({ DECNET_HOST: host }).host).toBe(host);
});

it.each([
  "0.0.0.0",
  "::",
  "192.0.2.1",
  "127.0.0.1.example",
  "127.example",
  "decnet.example",
  "[::1]",
  "127.0.0.1:7440",
  "a b",
  "*",
])("plaintext on %j is refused", (host) => {
  expect(refused({ DECNET_HOST: host })).toEqual(["DECNET_HOST"]);
});

it.each(["http", "-1", "65536", "0x1d10", "7e3", "7440.0", " 7440", "99999999999999999999"])("the port %j is refused", (port) => {
  expect(refused({ DECNET_PORT: port, DECNET_TLS_PORT: port })).toEqual(["DECNET_PORT", "DECNET_TLS_PORT"]);
});

it("all that is wrong is named at once", () => {
  const env = {
    DECNET_HOST: "0.0.0.0",
    DECNET_PORT: "http",
    DECNET_TLS_HOST: "256.0.0.1",
    DECNET_ADVERTISE: "a,b:0",
    DECNET_DATA_DIR: "relative",
    DECNET_DATABASE_URL: "mysql://a/b",
    DECNET_PARALLEL: "0",
    DECNET_LOG_LEVEL: "loud",
    DECNET_AGENT_CERTIFICATE_SECONDS: "1",
  };
  expect(refused(env)).toEqual(Object.keys(env).sort());
});

it.each([
  "postgresql://u:p@a,b/db",
  "postgres://a:5432,b:5433/db",
  "postgresql://u@/db?host=a,b",
  "postgresql://u@a/db?sslmode=verify-full&target_session_attrs=read-write",
])("%s names more than one host, which the driver cannot take: said, not looked up as a name", (url) => {
  expect(() => parse({ DECNET_DATABASE_URL: url })).toThrow(/DECNET_DATABASE_URL: one host, whose name or address follows/);
});

it.each(["postgresql://u:a,b@host/db", "postgres://u@h:1/a,b?application_name=a,b"])("%s names one host", (url) => {
  expect(parse({ DECNET_DATABASE_URL: url }).databaseUrl).toBe(url);
});

it("names under which the TLS port is reached may be names or addresses, each with a port or without", () => {
  const names = ["a", "a.example:1", "192.0.2.1", "192.0.2.1:7443", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:7443"];
  expect(parse({ DECNET_TLS_HOST: "::", DECNET_ADVERTISE: names.join(" , ") }).tls?.advertise).toEqual(names);
  for (const name of ["a b", "a:b", "a:0", "a:65536", "http://a", "[a]", "[2001:db8::1]:x"])
    expect(refused({ DECNET_ADVERTISE: name })).toEqual(["DECNET_ADVERTISE"]);
});

it("one port cannot be both", () => {
  const same = { DECNET_PORT: "7440", DECNET_TLS_PORT: "7440" };
  expect(refused({ ...same, DECNET_TLS_HOST: "0.0.0.0" })).toEqual(["DECNET_TLS_PORT"]);
  expect(refused({ ...same, DECNET_TLS_HOST: "127.0.0.1" })).toEqual(["DECNET_TLS_PORT"]);
  expect(refused({ ...same, DECNET_TLS_HOST: "192.0.2.1" })).toEqual([]);
  expect(refused({ DECNET_PORT: "0", DECNET_TLS_PORT: "0", DECNET_TLS_HOST: "0.0.0.0" })).toEqual([]);
});
