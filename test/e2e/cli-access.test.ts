import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestCli, useCli } from "../support/use-cli.ts";
import { type TestMaster, useMaster } from "../support/use-master.ts";
import { parseLines } from "../support/use-web.ts";

/** Tokens, the audit trail and joins at the command line. */
describe("decnet and who may do what", () => {
  let master: TestMaster;
  let cli: TestCli;

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_TLS_HOST: "127.0.0.1", DECNET_TLS_PORT: "0" } });
    cli = await useCli(master);
  });
  afterAll(async () => {
    await cli?.dispose();
    await master?.dispose();
  });

  const as = (token: string, ...args: string[]) => cli.run(args, { env: { DECNET_TOKEN: token } });

  it("makes a token, whose secret alone is on stdout, lists it and ends it", async () => {
    const made = await cli.run(["token", "create", "maria", "--role", "viewer", "--ttl", "30d"]);
    expect(made).toMatchObject({ exit: 0, stdout: expect.stringMatching(/^\S+$/) });
    const id = /^(\S+) maria \(viewer\); it is not shown again/.exec(made.stderr)?.[1] ?? "";
    expect((await as(made.stdout, "whoami")).stdout).toMatch(/^maria {2}viewer/);
    const list = await cli.run(["token", "list"]);
    expect(list.stdout).toMatch(new RegExp(`^ID +NAME +ROLE +STATE[\\s\\S]*${id} +maria +viewer +valid`));
    expect(list.stdout).not.toContain(made.stdout);
    expect((await cli.run(["token", "revoke", id])).stdout).toBe(`${id} maria is revoked`);
    const refused = await as(made.stdout, "status");
    expect(refused.exit).toBe(5);
    expect(refused.stderr).not.toMatch(/authorization|Bearer/);
    expect(refused.stderr).toContain("decnet token create NAME --role operator");
    expect((await cli.run(["token", "list"])).stdout).toMatch(/maria +viewer +revoked/);
  });

  it("gives programs the contract's documents", async () => {
    const made = JSON.parse((await cli.run(["token", "create", "ci", "--role", "operator", "--json"])).stdout);
    expect(made).toMatchObject({ token: { name: "ci", role: "ROLE_OPERATOR" }, secret: expect.any(String) });
    const lines = parseLines((await cli.run(["token", "list", "-o", "jsonl"])).stdout);
    expect(lines).toContainEqual(expect.objectContaining({ type: "token", name: "ci" }));
    expect(lines.at(-1)).toMatchObject({ type: "result", state: "SUCCEEDED" });
    expect(JSON.parse((await cli.run(["audit", "--json", "--limit", "5"])).stdout).entries.length).toBeGreaterThan(0);
  });

  it("refuses roles, times and ids that there are none of", async () => {
    expect((await cli.run(["token", "create", "x", "--role", "root"])).exit).toBe(2);
    expect((await cli.run(["token", "create", "x", "--role", "viewer", "--ttl", "soon"])).exit).toBe(2);
    const unknown = await cli.run(["token", "revoke", "tk-none"]);
    expect([unknown.exit, unknown.stderr]).toEqual([3, expect.stringContaining("decnet token list")]);
  });

  it("shows who did what, refusals included", async () => {
    const viewer = (await cli.run(["token", "create", "looker", "--role", "viewer"])).stdout;
    const refused = await as(viewer, "token", "create", "mine", "--role", "admin");
    expect(refused.exit).toBe(5);
    expect(refused.stderr).toContain("decnet whoami");
    const audit = await cli.run(["audit", "--select", "actor=looker"]);
    expect(audit.stdout).toMatch(/^AT +WHO +WHAT +TARGET +OUTCOME/);
    expect(audit.stdout).toMatch(/looker +AccessService\/CreateToken.*NOT_ALLOWED/);
  });

  it("lists join tokens and ends them, and knows of refused joins", async () => {
    await cli.run(["host", "invite", "--name", "edge-1", "--no-wait"]);
    const list = await cli.run(["host", "tokens"]);
    const id = /^(\S+) +edge-1 +waiting/m.exec(list.stdout)?.[1] ?? "none";
    expect((await cli.run(["host", "revoke-token", id])).stdout).toBe(`${id} for edge-1 is revoked`);
    expect((await cli.run(["host", "tokens"])).stdout).toMatch(/edge-1 +revoked/);
    expect(await cli.run(["host", "refused"])).toMatchObject({ exit: 0, stdout: "no join was refused" });
    expect(JSON.parse((await cli.run(["host", "refused", "--json"])).stdout)).toEqual({});
  });

  it("says which token it tried, in words of the command line", async () => {
    const file = join(cli.folder, "wrong.token");
    await writeFile(file, "nonsense");
    const none = { DECNET_TOKEN: "" };
    const wrong = await cli.run(["status", "--token-file", file], { env: none });
    expect([wrong.exit, wrong.stderr]).toEqual([5, expect.stringContaining(`The token in ${file} is not valid there`)]);
    const missing = await cli.run(["status", "--token-file", "/nowhere/token"], { env: none });
    expect(missing.stderr).toContain("The token would be in /nowhere/token, but it is not there");
  });
});
