import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parseLines, useWeb, type Web } from "../support/use-web.ts";

describe("decnet", () => {
  let web: Web;

  beforeAll(async () => {
    web = await useWeb();
  });
  beforeEach(() => web.reset());
  afterAll(() => web?.dispose());

  it("shows what is there, to people", async () => {
    const [status, list, wide, one, who, entry] = await Promise.all([
      web.cli.run(["status"]),
      web.cli.run(["decky", "list"]),
      web.cli.run(["decky", "list", "-o", "wide"]),
      web.cli.run(["decky", "get", web.name]),
      web.cli.run(["whoami"]),
      web.cli.run(["catalog", "get", "redis"]),
    ]);
    expect(status).toMatchObject({ exit: 0, stderr: "" });
    expect(status.stdout).toContain("· running 1");
    expect(list.stdout).toMatch(new RegExp(`^NAME .*\n${web.name} +running +local +10\\.77\\.`));
    expect(wide.stdout).toContain("DISTRO");
    expect(one.stdout).toContain(`${web.name}  fleet · host local · running`);
    expect(one.stdout).toMatch(/services {3}ssh +running .* tcp\/22/);
    expect(who.stdout).toContain("admin");
    expect(entry.stdout).toContain("maxmemory_mb");
  });

  it("shows the same to programs", async () => {
    const [json, jsonl, names, yaml, events] = await Promise.all([
      web.cli.run(["decky", "list", "--json"]),
      web.cli.run(["-o", "jsonl", "decky", "list"]),
      web.cli.run(["decky", "list", "-o", "name"]),
      web.cli.run(["decky", "get", web.name, "-o", "yaml"]),
      web.cli.run(["events", `decky.${web.name}.>`, "-o", "jsonl"]),
    ]);
    const document = JSON.parse(json.stdout) as { deckies: { ref: { name: string } }[] };
    expect(document.deckies.map(({ ref }) => ref.name)).toEqual([web.name]);
    const [item, result] = parseLines(jsonl.stdout);
    expect(item).toMatchObject({ type: "decky", ref: { name: web.name } });
    expect(result).toMatchObject({ type: "result", state: "SUCCEEDED", count: 1 });
    expect(names.stdout).toBe(web.name);
    expect(yaml.stdout).toMatch(/^decky:\n {2}ref:\n/);
    expect(parseLines(events.stdout).length).toBeGreaterThan(1);
    expect(parseLines(events.stdout).at(-1)).toMatchObject({ type: "result", state: "SUCCEEDED" });
  });

  it("shows only ASCII, and no control characters, where the locale is not UTF-8", async () => {
    const { stdout } = await web.cli.run(["status"], { env: { LANG: "C" } });
    expect(stdout).toMatch(/^[\x20-\x7e\n]*$/);
    expect(stdout).toContain("- running 1");
  });

  it("ends silently when its reader has seen enough", async () => {
    const { program, env } = web.cli;
    const piped = '{ "$0" --help; echo "exit $?" >&2; } | true';
    const { stderr } = await execa("bash", ["-c", piped, program], { env, extendEnv: false, stdin: "ignore" });
    expect(stderr).toBe("exit 141");
  });

  it("says one version everywhere: with --version, of the master, in its metrics", async () => {
    const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
    expect((await web.cli.run(["--version"])).stdout).toBe(version);
    const { cli, master } = JSON.parse((await web.cli.run(["version", "--json"])).stdout) as { cli: string; master: string };
    expect(cli).toBe(version);
    const metrics = await (await fetch(`http://127.0.0.1:${web.master.port}/metrics`)).text();
    expect(metrics).toContain(`decnet_build_info{version="${master}"} 1`);
  });

  it("checks what it needs", async () => {
    const doctor = await web.cli.run(["doctor"]);
    expect(doctor.stdout).toContain("✔ address");
    expect(doctor.stdout).toContain("✔ docker");
    const without = await web.cli.run(["doctor"], { env: { DECNET_DOCKER_SOCKET: "/nowhere.sock" } });
    expect(without.stdout).toMatch(/✖ docker +\/nowhere\.sock: .*\n {2}next: +start the Docker engine/);
    expect(without.exit).toBe(1);
    expect((await web.cli.run(["doctor", "--token", "wrong"])).exit).toBe(5);
  });

  it("knows masters by name, and guards the protected ones", async () => {
    const env = { DECNET_ADDRESS: "", DECNET_TOKEN: "" };
    const run = (...args: string[]) => web.cli.run(args, { env });
    const tokenFile = join(web.cli.folder, "token");
    await writeFile(tokenFile, web.master.token, { mode: 0o600 });
    const place = ["--address", `http://127.0.0.1:${web.master.port}`, "--token-file", tokenFile];
    expect((await run("context", "add", "prod", ...place, "--protected")).exit).toBe(0);
    expect((await stat(join(web.cli.folder, "config.yaml"))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(web.cli.folder, "config.yaml"), "utf8")).not.toContain(web.master.token);
    expect((await run("whoami", "--context", "prod")).exit).toBe(0);
    const unknown = await run("status", "--context", "lab");
    expect(unknown).toMatchObject({ exit: 2 });
    expect(unknown.stderr).toContain("decnet context add lab --address");
    expect((await run("context", "use", "prod")).exit).toBe(0);
    const refused = await run("service", "add", web.name, "ftp");
    expect(refused.exit).toBe(2);
    expect(refused.stderr).toContain("needs --context prod --accept prod");
    const done = await run("service", "add", web.name, "ftp", "--context", "prod", "--accept", "prod");
    expect(done.exit).toBe(0);
    expect(done.stderr.split("\n")[0]).toContain("context prod");
    expect((await run("context", "env", "prod")).stdout).toContain("export DECNET_CONTEXT=prod");
    expect((await run("context", "remove", "prod")).exit).toBe(0);
  });
});
