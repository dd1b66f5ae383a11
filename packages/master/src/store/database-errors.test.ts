import { AppError } from "@decnet/common/errors/app-error";
import { describe, expect, it } from "vitest";
import { guarded, saidInFull } from "./database-errors.ts";

const error = (message: string, more: object = {}) => Object.assign(new Error(message), more);
const caught = (thrown: unknown) => guarded(() => Promise.reject(thrown)).catch((found: unknown) => found);
const systemError = (code: string, syscall: string, more: object = {}) => error(`${syscall} ${code}`, { code, syscall, ...more });

describe("an error of the database driver", () => {
  it.each<[what: string, thrown: Error, reason: string]>([
    ["nobody listens", systemError("ECONNREFUSED", "connect"), "STORAGE_UNAVAILABLE"],
    ["there is no way", systemError("EHOSTUNREACH", "connect"), "STORAGE_UNAVAILABLE"],
    ["a packet filter says no", systemError("EPERM", "connect"), "STORAGE_UNAVAILABLE"],
    ["a socket that is not there", systemError("ENOENT", "connect", { address: "/run/x" }), "STORAGE_UNAVAILABLE"],
    ["a connection that broke", systemError("ECONNRESET", "read"), "STORAGE_UNAVAILABLE"],
    ["a name that nobody knows", systemError("ENOTFOUND", "getaddrinfo"), "STORAGE_UNAVAILABLE"],
    ["a name service that is away", systemError("EAI_AGAIN", "getaddrinfo"), "STORAGE_UNAVAILABLE"],
    ["no descriptor left", error("spawn EMFILE", { code: "EMFILE" }), "STORAGE_UNAVAILABLE"],
    ["a server that shuts down", error("terminating connection", { code: "57P01" }), "STORAGE_UNAVAILABLE"],
    ["no connection left", error("sorry, too many clients already", { code: "53300" }), "STORAGE_UNAVAILABLE"],
    ["what has no code", error("Connection terminated unexpectedly"), "STORAGE_UNAVAILABLE"],
    ["a wrong password", error("password authentication failed", { code: "28P01" }), "STORAGE_REFUSED"],
    ["no password", error("SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string"), "STORAGE_REFUSED"],
    ["a user who is not let in", error("no pg_hba.conf entry for host", { code: "28000" }), "STORAGE_REFUSED"],
    ["no such database", error('database "x" does not exist', { code: "3D000" }), "STORAGE_REFUSED"],
    ["no right to make tables", error("permission denied for schema public", { code: "42501" }), "STORAGE_REFUSED"],
    ["a server that wants TLS", error("no pg_hba.conf entry, no encryption", { code: "28000" }), "STORAGE_UNTRUSTED"],
    ["a server without TLS", error("The server does not support SSL connections"), "STORAGE_UNTRUSTED"],
    ["another authority", error("unable to verify", { code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" }), "STORAGE_UNTRUSTED"],
    ["another name", error("does not match", { code: "ERR_TLS_CERT_ALTNAME_INVALID" }), "STORAGE_UNTRUSTED"],
    ["a certificate of yesterday", error("expired", { code: "CERT_HAS_EXPIRED" }), "STORAGE_UNTRUSTED"],
    ["no common version of TLS", error("alert", { code: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION" }), "STORAGE_UNTRUSTED"],
    ["a file that is not there", systemError("ENOENT", "open", { path: "/ca.pem" }), "STORAGE_UNTRUSTED"],
    ["a folder in its place", systemError("EISDIR", "read"), "STORAGE_UNTRUSTED"],
    ["a full disk", error("no space left", { code: "53100" }), "STORAGE_FULL"],
    ["a replica", error("read-only transaction", { code: "25006" }), "STORAGE_READ_ONLY"],
  ])("says of the storage what it means: %s", async (_what, thrown, reason) => {
    expect(await caught(thrown)).toMatchObject({ reason, retryAfterMs: 1_000, cause: thrown });
  });

  it.each([
    error("duplicate key", { code: "23505" }),
    error("permission denied for table deckies", { code: "42501" }),
    error("a defect"),
    new AppError("DECKY_NOT_FOUND", "no"),
  ])("is passed on when it is about the statement: %s", async (thrown) => expect(await caught(thrown)).toBe(thrown));

  it("is told in its own words to whoever sets a master up, and to nobody else", async () => {
    const thrown = error('password authentication failed for user "decnet"', { code: "28P01" });
    const message = "the database refuses the user name or the password";
    expect(await caught(thrown)).toMatchObject({ message });
    const told = saidInFull(() => Promise.reject(thrown)).catch((found: unknown) => found);
    expect(await told).toMatchObject({ reason: "STORAGE_REFUSED", message: `${message} (${thrown.message})` });
    const both = new AggregateError([error("connect ECONNREFUSED ::1:5432"), error("connect ECONNREFUSED 127.0.0.1:5432")]);
    const tried = Object.assign(both, { code: "ECONNREFUSED" });
    expect(await saidInFull(() => Promise.reject(tried)).catch(String)).toContain(
      "::1:5432; connect ECONNREFUSED 127.0.0.1:5432",
    );
  });
});
