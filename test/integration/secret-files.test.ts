import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog } from "../support/catalogs.ts";
import { serviceImages } from "../support/service-images.ts";

type Secrets = Readonly<Record<string, { readonly text: string; readonly mode: number }>>;

const fine = { text: "secret", mode: 0o444 };

describe("a service that must not run with what it finds", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await execa("chmod", ["755", folder]);
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** Runs the image as its decky would; undefined: without the mount. */
  const start = async (slug: string, secrets: Secrets | undefined, env: Readonly<Record<string, string>> = {}) => {
    const entry = (await loadCatalog([ownCatalog])).services.get(slug) ?? expect.fail(`no ${slug}`);
    const [image] = await serviceImages([entry]);
    await execa("find", [folder, "-mindepth", "1", "-delete"]);
    for (const [name, { text, mode }] of Object.entries(secrets ?? {})) await writeFile(join(folder, name), text, { mode });
    const flags = [
      ...["--rm", "--init", "--network", "none", "--cap-drop", "ALL", "--user", String(entry.user), "--read-only"],
      ...entry.capabilities.flatMap((each) => ["--cap-add", each]),
      ...["--tmpfs", "/run", "--tmpfs", "/tmp:mode=1777", "--tmpfs", "/var/lib/sshkeys"],
      ...Object.entries(env).flatMap(([key, value]) => ["-e", `${key}=${value}`]),
      ...(secrets === undefined ? [] : ["-v", `${folder}:/run/decnet/secrets:ro`]),
    ];
    const { exitCode, all } = await execa("docker", ["run", ...flags, image?.tag ?? ""], {
      reject: false,
      all: true,
      timeout: 30_000,
    });
    return { exitCode, said: all };
  };
  const unreadable = { text: "secret", mode: 0o000 };
  const empty = { text: "", mode: 0o444 };

  it.each<readonly [slug: string, what: string, key: string, secrets: Secrets | undefined]>([
    ["ssh", "no folder", "password", undefined],
    ["ssh", "no file", "user_password", { password: fine }],
    ["ssh", "an empty file", "password", { password: empty, user_password: fine }],
    ["telnet", "no folder", "password", undefined],
    ["telnet", "an empty file", "user_password", { password: fine, user_password: empty }],
    ["ftp", "no folder", "password", undefined],
    ["ftp", "an empty file", "password", { password: empty }],
    ["redis", "no file", "password", {}],
    ["redis", "a file of somebody else's", "password", { password: unreadable }],
    ["http", "no file", "custom_body", {}],
    ["http", "a file of somebody else's", "custom_body", { custom_body: unreadable }],
  ])("%s with %s says so in one line, and does not start", async (slug, _, key, secrets) => {
    const { exitCode, said } = await start(slug, secrets);
    expect([exitCode, said]).toEqual([
      78,
      expect.stringMatching(new RegExp(`^refusing to start: the \\w+ ${key} is missing.*$`)),
    ]);
  });

  const both = { password: fine, user_password: fine };
  const lines = (text: string) => ({ text, mode: 0o444 });

  // The catalog refuses all of it: what was stored by an earlier version, or comes in another way, meets the server's own entry.
  it.each<readonly [slug: string, secrets: Secrets | undefined, env: Readonly<Record<string, string>>]>([
    ["ssh", both, { SSH_HOSTNAME: "$(touch /tmp/x)" }],
    ["ssh", both, { SSH_HOSTNAME: "a/;s/b/c/" }],
    ["ssh", both, { SSH_USER: "a:b" }],
    ["ssh", { password: fine, user_password: lines("a\nroot:b") }, {}],
    ["telnet", both, { TELNET_HOSTNAME: "`id`\n" }],
    ["telnet", both, { TELNET_USER: "../../etc" }],
    ["telnet", { password: lines("a\n"), user_password: fine }, {}],
    ["ftp", { password: fine }, { FTP_BANNER: "hello\nanonymous_enable=YES" }],
    ["ftp", { password: lines("a\rb") }, {}],
    ["redis", { password: lines('a"\nrename-command AUTH ""') }, {}],
    ["redis", undefined, { MAXMEMORY_MB: "64mb\nloadmodule /tmp/x" }],
    ["http", undefined, { SERVER_HEADER: "a\r\nSet-Cookie: b" }],
    ["http", undefined, { EXTRA_HEADERS: "X-A: 1\r\nX-B: 2" }],
    ["http", undefined, { EXTRA_HEADERS: 'X-A": 1' }],
    ["http", undefined, { FAKE_APP: "../../../etc/passwd" }],
    ["http", undefined, { RESPONSE_CODE: "200; return 301 x" }],
  ])("%s with %j and %j says so in one line, and does not start", async (slug, secrets, env) => {
    const { exitCode, said } = await start(slug, secrets, env);
    expect([exitCode, said]).toEqual([64, expect.stringMatching(/^refusing to start: .{10,100}$/)]);
  });
});
