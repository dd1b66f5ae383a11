import { chmod, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CertificateAuthority, createAuthority, createKeyAndCsr, openAuthority } from "@decnet/common/pki/certificates";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeFingerprintKey, openFingerprint } from "./fingerprint.ts";
import { type AgentIdentity, readIdentity, writeIdentity } from "./identity.ts";

const installation = "lab";

async function makeAuthority(): Promise<CertificateAuthority> {
  return openAuthority({ ...(await createAuthority({ installation, now: new Date(), years: 1 })), installation });
}

async function makeIdentity(authority: CertificateAuthority, hostId: string): Promise<AgentIdentity> {
  const { keyPem, csrPem } = await createKeyAndCsr({ commonName: hostId });
  const issued = await authority.issueAgent({ csrPem, hostId, hostName: hostId, number: 1, ttlMs: 60_000, now: new Date() });
  const who = { hostId, hostName: hostId, installation, masters: ["127.0.0.1:7443"] };
  return { ...who, certificate: issued.certPem, caCertificate: authority.certPem, keyPem };
}

describe("what a worker is known by", () => {
  let folder: string;
  let authority: CertificateAuthority;
  const file = () => join(folder, "identity.json");
  const change = async (patch: Record<string, unknown>) => {
    const content = JSON.parse(await readFile(file(), "utf8")) as Record<string, unknown>;
    await writeFile(file(), JSON.stringify({ ...content, ...patch }));
  };
  const keyFile = async () => join(folder, (await readdir(folder)).find((name) => name.startsWith("key-")) ?? "");

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-unit-"));
    authority = await makeAuthority();
    await writeIdentity(folder, await makeIdentity(authority, "h-1"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("is read as it was written, and is nothing on a machine that has not joined", async () => {
    const identity = await readIdentity(folder);
    expect(identity).toMatchObject({ hostId: "h-1", caCertificate: authority.certPem });
    await writeIdentity(folder, { ...(identity ?? expect.fail()), fingerprintCheck: "abc" });
    expect(await readIdentity(folder)).toEqual({ ...identity, fingerprintCheck: "abc" });
    await rm(file());
    expect(await readIdentity(folder)).toBeUndefined();
  });

  it.each<[string, () => Promise<unknown>, string, RegExp]>([
    ["a lost key", async () => rm(await keyFile()), "IDENTITY_UNUSABLE", /key-.*\.pem is missing/],
    ["a truncated key", async () => truncate(await keyFile(), 50), "IDENTITY_UNUSABLE", /holds no private key/],
    ["a key that all may read", async () => chmod(await keyFile(), 0o644), "KEY_FILE_UNUSABLE", /mode 644/],
    [
      "another key",
      async () => writeFile(await keyFile(), (await createKeyAndCsr({ commonName: "x" })).keyPem),
      "IDENTITY_UNUSABLE",
      /is not the key of this worker's certificate/,
    ],
    ["a truncated identity", () => truncate(file(), 99), "IDENTITY_UNUSABLE", /is no JSON/],
    ["an empty identity", () => truncate(file(), 0), "IDENTITY_UNUSABLE", /is no JSON/],
    ["an identity that all may read", () => chmod(file(), 0o640), "KEY_FILE_UNUSABLE", /mode 640/],
    ["no masters", () => change({ masters: [] }), "IDENTITY_UNUSABLE", /masters/],
    ["a lost authority", () => change({ caCertificate: "" }), "IDENTITY_UNUSABLE", /holds no certificate/],
    [
      "another authority",
      async () => change({ caCertificate: (await makeAuthority()).certPem }),
      "IDENTITY_UNUSABLE",
      /is not of the authority/,
    ],
    [
      "another host's certificate",
      async () => change({ certificate: (await makeIdentity(authority, "h-2")).certificate }),
      "IDENTITY_UNUSABLE",
      /a certificate of another host than h-1/,
    ],
    [
      "the format of a later agent",
      () => change({ format: 2, version: "9.8.7" }),
      "VERSION_TOO_OLD",
      /9\.8\.7 \(format 2\); this is/,
    ],
  ])("is refused with %s, and says which file", async (_, damage, reason, why) => {
    await damage();
    const before = (await readdir(folder)).sort();
    const error = await readIdentity(folder).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ reason, message: expect.stringContaining(folder) });
    expect((error as Error).message).toMatch(why);
    expect((await readdir(folder)).sort()).toEqual(before);
  });

  it("is the key of its fingerprints too: made while there is no decky, and never again", async () => {
    const { of, check } = await openFingerprint(folder, undefined);
    expect((await openFingerprint(folder, check)).of("x")).toBe(of("x"));
    await mkdir(join(folder, "specs"));
    await writeFile(join(folder, "specs", "fleet__web.json"), "{}");
    const key = join(folder, "fingerprint.key");
    await truncate(key, 20);
    await expect(openFingerprint(folder, check)).rejects.toMatchObject({ reason: "IDENTITY_UNUSABLE" });
    await rm(key);
    await expect(openFingerprint(folder, check)).rejects.toThrow(/fingerprint\.key is missing/);
    await expect(openFingerprint(folder, undefined)).rejects.toThrow(/fingerprint\.key is missing/);
    // Who joins again begins again.
    await makeFingerprintKey(folder);
    await expect(openFingerprint(folder, check)).rejects.toThrow(/is another key/);
    expect((await openFingerprint(folder, undefined)).of("x")).not.toBe(of("x"));
  });
});
