import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { deploy, eventually } from "../support/use-master.ts";
import { parseLines, useWeb, type Web } from "../support/use-web.ts";

/** What people of this trade type by habit, and what they must not be told. */
describe("decnet", () => {
  let web: Web;
  const run = (...args: string[]) => web.cli.run(args);

  beforeAll(async () => {
    web = await useWeb();
  });
  beforeEach(() => web.reset());
  afterAll(() => web?.dispose());

  it("exports a fleet file that changes nothing when it is applied again, and holds no secret", async () => {
    await run("service", "set", web.name, "redis", "maxmemory_mb=48", "-y");
    await run("service", "set", web.name, "ssh", "password=hunter-nine", "--accept", "cut-sessions", "-y");
    const exported = await run("fleet", "export");
    expect(exported).toMatchObject({ exit: 0, stderr: "" });
    expect(exported.stdout).toContain(`name: ${web.name}`);
    expect(exported.stdout).not.toContain("hunter");
    const file = join(web.cli.folder, "fleet.yaml");
    await writeFile(file, exported.stdout);
    const before = await web.revision();
    expect((await run("fleet", "plan", "-f", file, "--exit-code")).exit).toBe(0);
    expect((await run("fleet", "apply", "-f", file, "-y")).exit).toBe(0);
    expect(await web.revision()).toBe(before);
    expect((await run("fleet", "export")).stdout).toBe(exported.stdout);
    expect(JSON.parse((await run("fleet", "export", "--json")).stdout).deckies[0].name).toBe(web.name);
  });

  it("restores the revision before: one that differs and did not fail", async () => {
    const before = await web.revision();
    await run("service", "add", web.name, "http");
    expect((await run("service", "add", web.name, "quits")).exit).toBe(7);
    const restored = await run("decky", "restore", web.name, "-y");
    expect(restored.exit).toBe(0);
    expect(restored.stderr).toContain(`r${before} is the newest revision before`);
    expect((await run("service", "get", web.name, "http")).exit).toBe(4);
    const again = await run("decky", "restore", web.name, "-y");
    expect(again.exit).toBe(0);
    expect((await run("service", "get", web.name, "http")).exit).toBe(0);
  });

  it("waits for a state, and says what is missing when the time is over", async () => {
    expect(await run("wait", web.name)).toMatchObject({ exit: 0, stdout: `${web.name} is running` });
    expect((await run("wait", "--select", `name=${web.name}`, "--for", "running")).exit).toBe(0);
    const over = await run("wait", web.name, "nobody", "--timeout", "1ms");
    expect([over.exit, over.stderr]).toEqual([9, "--timeout ran out: nobody is not there"]);
    expect((await run("wait", "nobody", "--for", "gone")).stdout).toBe("nobody is gone");
    expect((await run("wait", web.name, "--for", "happy")).exit).toBe(2);
    expect((await run("wait")).exit).toBe(2);
    await execa("docker", ["stop", "-t", "0", `${web.name}-redis`]);
    expect((await run("wait", web.name, "--timeout", "60s")).exit).toBe(0);
  });

  it("shows the lines that were written since a time", async () => {
    const all = await run("decky", "logs", web.name, "--since", "1h");
    expect(all.exit).toBe(0);
    expect(all.stdout).not.toBe("");
    expect((await run("decky", "logs", web.name, "--since", "0s")).stdout).toBe("");
    expect((await run("decky", "logs", web.name, "--since", "soon")).exit).toBe(2);
  });

  it("knows the host of the master itself", async () => {
    expect((await run("host", "list")).stdout).toMatch(/^NAME +STATE .*\nlocal +connected +\ds +- +1\/0 +test/);
    expect((await run("host", "get", "local")).stdout).toMatch(/^local {2}connected\n/);
    expect((await run("host", "list", "-o", "name")).stdout).toBe("local");
  });

  it("shows its state to programs with the rows, and again when it is watched", async () => {
    const failed = await run("service", "add", web.name, "quits", "-o", "jsonl");
    const id = String(parseLines(failed.stdout).at(-1)?.["operation"]);
    const status = JSON.parse((await run("status", "--json")).stdout);
    expect(status).toMatchObject({ counts: { running: 1 }, hosts: [], deckies: [], running: [] });
    expect(status.failed).toContainEqual(expect.objectContaining({ id }));
    const child = spawn(web.cli.program, ["status", "--watch", "-o", "jsonl"], { env: web.cli.env, stdio: "pipe" });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    await eventually(async () => text.split("\n").length > 2);
    child.kill("SIGINT");
    await once(child, "exit");
    expect(parseLines(text.trim())[1]).toMatchObject({ type: "status", counts: { running: 1 } });
  });

  it("says what runs, and nothing of failures whose decky is gone", async () => {
    await deploy(web.master, { web: ["ssh", "redis"], old: ["redis"] });
    const old = `${web.master.prefix}-old`;
    await run("service", "add", old, "quits");
    expect((await run("status")).stdout).toMatch(new RegExp(`× change +${old}`));
    await run("decky", "teardown", old, "--accept", `teardown=${old}`);
    expect((await run("status")).stdout).not.toContain(`${old} `);
    const started = await run("service", "add", web.name, "silent", "--wait", "accepted", "-o", "name");
    expect((await run("status")).stdout).toMatch(
      new RegExp(`↻ runs +${web.name} +add-service silent by .*op watch ${started.stdout}`),
    );
    await run("op", "cancel", started.stdout);
    await run("op", "watch", started.stdout);
  });

  it("offers an undo only where there was something before", async () => {
    await deploy(web.master, { web: ["ssh", "redis"], fresh: ["redis"] });
    const first = await run("op", "list", "--select", `decky=${web.master.prefix}-fresh`, "-o", "name");
    const deployed = await run("op", "watch", first.stdout.split("\n")[0] ?? "");
    expect(deployed.exit).toBe(0);
    expect(deployed.stdout).not.toContain("undo:");
    const before = await web.revision();
    expect((await run("service", "add", web.name, "http")).stdout).toContain(`undo: `);
    expect((await run("service", "remove", web.name, "http", "-y")).stdout).toContain(`restore ${web.name} r${before + 1}`);
  });

  it.each([
    [["service", "remove", "x", "ssh", "-y", "--accept", "foo"], "--accept foo names no risk"],
    [["service", "remove", "x", "ssh", "--accept", "cut-session"], "did you mean cut-sessions?"],
    [["batch", "--select", "name=x", "add", "ftp", "--accept", "everything"], "--accept everything names no risk"],
    [["decky", "explain", "--help"], 'has no command "explain"'],
    [["hots", "list"], "did you mean"],
    [["decky", "lst", "-o", "json"], "decky list?"],
    [["status", "--jsn"], "--json"],
    [["decky", "get", "a", "b"], "too many arguments"],
    [["decky", "get"], "missing required argument"],
  ])("refuses %j with exit code 2 and what was meant", async (args, says) => {
    const refused = await run(...args);
    expect(refused).toMatchObject({ exit: 2, stdout: "" });
    expect(refused.stderr).toContain(says);
  });

  it("types every line of a batch, and stores nothing when nothing is selected", async () => {
    const select = ["batch", "--select", `name=${web.name}`];
    const lines = parseLines((await run(...select, "add", "http", "-o", "jsonl")).stdout);
    expect(lines.map(({ type }) => type)).toEqual(expect.arrayContaining(["change", "summary", "result"]));
    expect(lines.find(({ type }) => type === "change")).toMatchObject({ decky: { name: web.name } });
    const newest = (await run("op", "list", "-o", "name")).stdout.split("\n")[0];
    const none = await run("batch", "--select", "name=nobody*", "add", "http", "-y");
    expect(none).toMatchObject({ exit: 0, stderr: "no decky fits name=nobody*; nothing was changed" });
    expect((await run("op", "list", "-o", "name")).stdout.split("\n")[0]).toBe(newest);
  });

  it("fits a terminal of 80 columns: help, lists, plans, receipts; commands stay whole", async () => {
    const lines: string[] = [];
    for (const words of [
      "--help",
      "fleet apply --help",
      "service set --help",
      `decky get ${web.name}`,
      `service add ${web.name} http --reason 'a reason that is as long as people write them when they have to explain it'`,
      "status",
      "op list",
      `decky revisions ${web.name}`,
    ]) {
      const line = `stty cols 80 rows 24; ${web.cli.program} ${words}`;
      const { stdout } = await execa("script", ["-qec", line, "/dev/null"], {
        env: web.cli.env,
        extendEnv: false,
        stdin: "ignore",
      });
      const shown = stdout.replaceAll(/\r?\u001b\[2K|\u001b\[\d*m/g, "\n").split(/\r?\n|\r/);
      lines.push(...shown.filter((text) => text.length > 80));
    }
    expect(lines.filter((text) => !/^\s*\S*decnet [a-z]/.test(text))).toEqual([]);
  });
});
