import { readFile, stat, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { holdSession } from "../support/hold-session.ts";
import { type TestCli, useCli } from "../support/use-cli.ts";
import { containersOf, deploy, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

/** Every line of it must be a document. */
const lines = (text: string) => text.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);

describe("decnet", () => {
  let master: TestMaster;
  let cli: TestCli;
  let web: string;

  beforeAll(async () => {
    master = await useMaster();
    cli = await useCli(master);
    web = `${master.prefix}-web`;
    await deploy(master, { web: ["ssh", "redis"] });
  });

  afterAll(async () => {
    await cli?.dispose();
    await master.dispose();
  });

  const revision = async () => (await master.fleet.getDecky({ decky: { name: web } })).decky?.desiredRevision ?? 0;

  describe("shows", () => {
    it("what is there, to people", async () => {
      const [status, list, wide, one, who, entry] = await Promise.all([
        cli.run(["status"]),
        cli.run(["decky", "list"]),
        cli.run(["decky", "list", "-o", "wide"]),
        cli.run(["decky", "get", web]),
        cli.run(["whoami"]),
        cli.run(["catalog", "get", "redis"]),
      ]);
      expect(status).toMatchObject({ exit: 0, stderr: "" });
      expect(status.stdout).toContain("· running 1");
      expect(list.stdout).toMatch(new RegExp(`^NAME .*\n${web} +running +local +10\\.77\\.`));
      expect(wide.stdout).toContain("DISTRO");
      expect(one.stdout).toContain(`${web}  fleet · host local · running`);
      expect(one.stdout).toMatch(/services {3}ssh +running .* tcp\/22/);
      expect(who.stdout).toContain("admin");
      expect(entry.stdout).toContain("maxmemory_mb");
    });

    it("the same to programs", async () => {
      const [json, jsonl, names, yaml, facts] = await Promise.all([
        cli.run(["decky", "list", "--json"]),
        cli.run(["-o", "jsonl", "decky", "list"]),
        cli.run(["decky", "list", "-o", "name"]),
        cli.run(["decky", "get", web, "-o", "yaml"]),
        cli.run(["events", `decky.${web}.>`, "-o", "jsonl"]),
      ]);
      const document = JSON.parse(json.stdout) as { deckies: { ref: { name: string } }[] };
      expect(document.deckies.map(({ ref }) => ref.name)).toEqual([web]);
      const [item, result] = lines(jsonl.stdout);
      expect(item).toMatchObject({ type: "decky", ref: { name: web } });
      expect(result).toMatchObject({ type: "result", state: "SUCCEEDED", count: 1 });
      expect(names.stdout).toBe(web);
      expect(yaml.stdout).toMatch(/^decky:\n {2}ref:\n/);
      expect(lines(facts.stdout).length).toBeGreaterThan(1);
      expect(lines(facts.stdout).at(-1)).toMatchObject({ type: "result", state: "SUCCEEDED" });
    });

    it("only ASCII, and no control characters, where nothing else fits", async () => {
      const { stdout } = await cli.run(["status"], { env: { LANG: "C" } });
      expect(stdout).toMatch(/^[\x20-\x7e\n]*$/);
      expect(stdout).toContain("- running 1");
    });
  });

  describe("changes", () => {
    it("adds without a question: plan, steps, receipt, verdict, undo", async () => {
      const before = await revision();
      const added = await cli.run(["service", "add", web, "http", "fake_app=wordpress", "--reason", "ticket 4712"]);
      expect(added.exit).toBe(0);
      expect(added.stderr).toContain(`Plan for ${web} on local, r${before} → r${before + 1}`);
      expect(added.stderr).toContain(`+ http     create ${web}-http   requested`);
      expect(added.stderr).toContain('+ fake_app     "wordpress"');
      expect(added.stderr).toMatch(/= .*(base|ssh).* not touched/);
      expect(added.stderr).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z ✔ create +\S+-http +[\d.]+s$/m);
      expect(added.stderr).toMatch(/✔ receipt +3 siblings unchanged/);
      expect(added.stdout).toMatch(new RegExp(`^${web} r${before + 1} applied, http is running\\. {3}[\\d.]+s {3}op-`));
      expect(added.stdout).toContain(`undo: decnet decky restore ${web} r${before}`);
    });

    it("says what was asked for, and takes it back", async () => {
      const revisions = await cli.run(["decky", "revisions", web]);
      expect(revisions.stdout).toContain("ticket 4712");
      const difference = await cli.run(["decky", "revisions", web, "--diff", "r1..r2"]);
      expect(difference.stdout).toContain("+ http");
      const restored = await cli.run(["decky", "restore", web, "r1", "-y"]);
      expect(restored.exit).toBe(0);
      expect([...(await containersOf(web)).keys()]).not.toContain(`${web}-http`);
      const operations = await cli.run(["op", "list", "--select", `decky=${web}`]);
      expect(operations.stdout).toMatch(/restore-revision .* ✔ r3/);
    });

    it("answers steps and a result line to programs", async () => {
      const added = await cli.run(["service", "add", web, "http", "-o", "jsonl"]);
      expect(added.stderr).toBe("");
      const all = lines(added.stdout);
      expect(all.map(({ type }) => type)).toEqual(expect.arrayContaining(["plan", "step"]));
      expect(all.at(-1)).toMatchObject({ type: "result", state: "SUCCEEDED", decky: web, exit: 0, othersUnchanged: true });
      const watched = await cli.run(["op", "watch", String(all.at(-1)?.["operation"])]);
      expect(watched).toMatchObject({ exit: 0 });
      expect(watched.stderr).toContain(`${web}-http`);
      const receipt = await cli.run(["op", "get", String(all.at(-1)?.["operation"]), "--receipt"]);
      expect(receipt.stdout).toMatch(new RegExp(`${web}-http +- +[0-9a-f]{12} .* yes`));
    });

    it("plans, and does exactly that plan or nothing", async () => {
      const plan = await cli.run(["service", "set", web, "http", "fake_app=tomcat", "--plan", "--exit-code"]);
      expect(plan.exit).toBe(10);
      expect(plan.stdout).toContain(`+/- http     recreate ${web}-http   config changed`);
      const digest = /--expect-plan ([0-9a-f]{32})/.exec(plan.stderr)?.[1] ?? "";
      expect(plan.stderr).toContain(`decnet service set ${web} http fake_app=tomcat --expect-plan ${digest}`);
      const other = await cli.run(["service", "set", web, "http", "fake_app=jenkins", "-y", "--expect-plan", digest]);
      expect(other.exit).toBe(4);
      expect(other.stderr).toContain("PLAN_CHANGED");
      expect(other.stderr).toContain("the plan now:");
      const done = await cli.run(["service", "set", web, "http", "fake_app=tomcat", "-y", "--expect-plan", digest]);
      expect(done.exit).toBe(0);
      const again = await cli.run(["service", "set", web, "http", "fake_app=tomcat", "--plan", "--exit-code"]);
      expect(again).toMatchObject({ exit: 0 });
      expect(again.stdout).toContain("nothing to do");
    });

    it("stores without applying, and applies what is stored", async () => {
      const saved = await cli.run(["service", "set", web, "http", "response_code=404", "--save"]);
      expect(saved.stdout).toContain("saved, not applied");
      expect((await cli.run(["decky", "get", web])).stdout).toContain(`decnet service set ${web} http --apply-staged`);
      expect((await cli.run(["service", "set", web, "http", "--apply-staged", "-y"])).exit).toBe(0);
      expect((await cli.run(["service", "get", web, "http"])).stdout).toMatch(/response_code +404/);
    });

    it("takes secrets from files and standard input, and warns of plain ones", async () => {
      const secret = join(cli.folder, "secret.txt");
      await writeFile(secret, "hunter-one\n");
      const fromFile = await cli.run(["service", "set", web, "redis", `password=@${secret}`, "-y", "--reason", "rotation"]);
      const fromInput = await cli.run(["service", "set", web, "redis", "password=-", "-y"], { input: "hunter-two\n" });
      const plain = await cli.run(["service", "set", web, "redis", "password=hunter-three", "--plan"]);
      expect([fromFile.exit, fromInput.exit, plain.exit]).toEqual([0, 0, 0]);
      expect(plain.stderr).toContain("--expect-plan");
      const loud = await cli.run(["service", "set", web, "redis", "password=hunter-three", "-y"]);
      expect(loud.stderr).toContain("warning: password is a secret");
      const said = [fromFile, fromInput, plain, loud].map(({ stdout, stderr }) => stdout + stderr).join("\n");
      expect(said).toContain("(secret)");
      expect(said).not.toContain("hunter");
    });

    it("makes two changes at once when both may go on", async () => {
      const both = await Promise.all([
        cli.run(["service", "set", web, "redis", "maxmemory_mb=48", "-y"]),
        cli.run(["service", "set", web, "http", "response_code=403", "-y"]),
      ]);
      expect(both.map(({ exit }) => exit)).toEqual([0, 0]);
    });

    it("answers a repeated request id with the first operation", async () => {
      const args = ["service", "remove", web, "http", "-y", "--request-id", "remove-once", "-o", "name"];
      const [first, second] = [await cli.run(args), await cli.run(args)];
      expect(first).toMatchObject({ exit: 0 });
      expect(second).toMatchObject({ exit: 0, stdout: first.stdout });
    });
  });

  it("ends in silence when whoever reads has seen enough", async () => {
    const piped = '{ "$0" --help; echo "exit $?" >&2; } | true';
    const { stderr } = await execa("bash", ["-c", piped, cli.program], { env: cli.env, extendEnv: false, stdin: "ignore" });
    expect(stderr).toBe("exit 141");
  });

  describe("refuses", () => {
    it("to cut open sessions unless that is accepted", async () => {
      const session = await holdSession(web);
      try {
        const args = ["service", "set", web, "ssh", "user=maria"];
        const refused = await cli.run([...args, "-y"]);
        expect(refused.exit).toBe(2);
        expect(refused.stderr).toMatch(/needs --accept cut-sessions \(.*1 .*session.*\); nothing was changed/);
        const waited = await cli.run([...args, "--wait-idle", "1ms"]);
        expect(waited.exit).toBe(2);
        expect(waited.stderr).toContain("nothing was changed");
        expect(session.isOpen()).toBe(true);
        const accepted = await cli.run([...args, "--accept", "cut-sessions"]);
        expect(accepted.exit).toBe(0);
      } finally {
        session.close();
      }
    });

    it("to act without an answer", async () => {
      const before = await revision();
      const refused = await cli.run(["service", "remove", web, "redis"]);
      expect(refused).toMatchObject({ exit: 2, stdout: "" });
      expect(refused.stderr).toContain("needs -y");
      const torn = await cli.run(["decky", "teardown", web, "-y"]);
      expect(torn.exit).toBe(2);
      expect(torn.stderr).toContain(`needs --accept teardown=${web}`);
      expect(await revision()).toBe(before);
    });

    const refusals: readonly (readonly [exit: number, reason: string, args: readonly string[], more: string])[] = [
      [2, "CONFIG_INVALID", ["service", "add", "WEB", "http", "response_code=many"], "field: "],
      [2, "SERVICE_UNKNOWN", ["service", "add", "WEB", "htttp"], "did you mean http?"],
      [2, "SERVICE_IS_SINGLETON", ["service", "add", "WEB", "sniffer"], ""],
      [2, "settings are key=value", ["service", "add", "WEB", "http", "=x"], ""],
      [2, "--output is one of", ["status", "-o", "xml"], ""],
      [3, "DECKY_NOT_FOUND", ["decky", "get", "WEBx"], "did you mean WEB?"],
      [3, "TOPOLOGY_NOT_FOUND", ["decky", "get", "corp/WEB"], ""],
      [3, "OPERATION_NOT_FOUND", ["op", "get", "op-0"], "decnet op list"],
      [4, "SERVICE_ALREADY_PRESENT", ["service", "add", "WEB", "redis"], "decnet service set"],
      [4, "SERVICE_NOT_PRESENT", ["service", "remove", "WEB", "reddis", "-y"], "did you mean redis?"],
      [4, "REVISION_CONFLICT", ["service", "add", "WEB", "http", "--expect", "r99"], ""],
      [5, "UNAUTHENTICATED", ["status", "--token", "wrong"], ""],
      [6, "HOST_UNREACHABLE", ["status", "--address", "http://127.0.0.1:1"], "decnet doctor"],
    ];

    it("whatever is wrong, with its exit code, its reason and a next step, and changes nothing", async () => {
      const before = await revision();
      await Promise.all(
        refusals.map(async ([exit, reason, args, more]) => {
          const refused = await cli.run(args.map((word) => word.replace("WEB", web)));
          expect({ args, ...refused }).toMatchObject({ exit, stdout: "" });
          expect(refused.stderr).toContain(reason);
          expect(refused.stderr).toContain(more.replace("WEB", web));
        }),
      );
      expect(await revision()).toBe(before);
    });

    it("in a form for programs as well", async () => {
      const refused = await cli.run(["decky", "get", "nobody", "-o", "jsonl"]);
      expect(lines(refused.stdout)).toEqual([expect.objectContaining({ type: "result", reason: "DECKY_NOT_FOUND", exit: 3 })]);
      const { error } = JSON.parse((await cli.run(["decky", "get", "nobody", "--json"])).stdout) as { error: { exit: number } };
      expect(error.exit).toBe(3);
    });

    it("a master that does not answer within the limit", async () => {
      const sockets = new Set<Socket>();
      const silent = createServer((socket) => sockets.add(socket));
      await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
      const address = silent.address();
      const port = typeof address === "object" ? address?.port : undefined;
      const doctor = await cli.run(["doctor", "--address", `http://127.0.0.1:${port}`]);
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => silent.close(resolve));
      expect(doctor.exit).toBe(6);
      expect(doctor.stdout).toContain("✖ address");
    });
  });

  describe("fails", () => {
    it("with 7 when the change was undone: cause, state now, next step", async () => {
      const before = await revision();
      const failed = await cli.run(["service", "add", web, "quits"]);
      expect(failed).toMatchObject({ exit: 7, stdout: "" });
      expect(failed.stderr).toMatch(/✖ (create|settle) +\S+-quits/);
      expect(failed.stderr).toContain("    │ ");
      expect(failed.stderr).toMatch(/error: APPLY_FAILED {2}/);
      expect(failed.stderr).toContain(` now:   ${web} is running at r${before + 2} (same as r${before}); nothing else changed`);
      const id = /decnet op get (op-[0-9a-f]+) --output-log/.exec(failed.stderr)?.[1] ?? "";
      expect((await cli.run(["op", "get", id, "--output-log"])).stdout).toContain("no reason to live");
      expect((await cli.run(["status"])).stdout).toContain(`decnet op get ${id}`);
    });

    it("with 8 when it stays, and tells programs", async () => {
      const kept = await cli.run(["service", "add", web, "quits", "--on-failure", "keep", "-o", "jsonl"]);
      expect(kept.exit).toBe(8);
      expect(lines(kept.stdout).at(-1)).toMatchObject({ type: "result", state: "FAILED", undone: false, exit: 8 });
      expect((await cli.run(["service", "remove", web, "quits", "-y"])).exit).toBe(0);
    });

    it("to wait any longer with 9, and the operation goes on", async () => {
      const waited = await cli.run(["service", "add", web, "ftp", "--wait", "1ms"]);
      expect(waited.exit).toBe(9);
      const id = /watch: decnet op watch (op-[0-9a-f]+)/.exec(waited.stderr)?.[1] ?? "";
      expect((await cli.run(["op", "watch", id])).exit).toBe(0);
      const accepted = await cli.run(["service", "remove", web, "ftp", "-y", "--wait", "accepted"]);
      expect(accepted).toMatchObject({ exit: 0 });
      expect((await cli.run(["op", "watch", /op-[0-9a-f]+/.exec(accepted.stdout)?.[0] ?? ""])).exit).toBe(0);
    });
  });

  describe("on a terminal", () => {
    it("asks, and No is the default", async () => {
      const before = await revision();
      const no = await cli.type(["service", "remove", web, "redis"], [["[y/N]", "\n"]]);
      expect(no.exit).toBe(2);
      expect(no.screen).toContain(`Remove redis from ${web} on local? [y/N]`);
      expect(await revision()).toBe(before);
    });

    it("rewrites lines and paints marks", async () => {
      const added = await cli.type(["service", "add", web, "telnet"], []);
      expect(added.exit).toBe(0);
      expect(added.screen).toContain("\u001b[32m✔\u001b[39m create");
      expect(added.screen).toContain("\r\u001b[2K");
      const plain = await cli.type(["--no-color", "service", "remove", web, "telnet"], [["[y/N]", "y\n"]]);
      expect(plain.exit).toBe(0);
      expect(plain.screen).not.toContain("\u001b[32m");
    });

    it("asks for a secret without showing it", async () => {
      const set = await cli.type(
        ["service", "set", web, "redis", "password"],
        [
          ["password: ", "hunter-four\n"],
          ["[y/N]", "y\n"],
        ],
      );
      expect(set.exit).toBe(0);
      expect(set.screen).not.toContain("hunter");
    });

    it("refuses what moved while the question stood there, and says who moved it", async () => {
      const moves = async () => {
        await master.mutations.addService({ decky: { name: web }, service: "telnet", options: { reason: "meanwhile" } });
        return "y\n";
      };
      const late = await cli.type(["service", "set", web, "redis", "maxmemory_mb=32"], [["[y/N]", moves]]);
      expect(late.exit).toBe(4);
      expect(late.screen).toContain("PLAN_CHANGED");
      expect(late.screen).toContain("meanwhile");
      expect((await cli.run(["service", "remove", web, "telnet", "-y"])).exit).toBe(0);
    });

    it("waits until nobody is there any more when asked to", async () => {
      const session = await holdSession(web);
      const leave = async () => {
        session.close();
        return "";
      };
      const waited = await cli.type(
        ["service", "set", web, "ssh", "user=anna"],
        [
          ["w = wait until idle", "w\n"],
          ["waiting until no session is open", leave],
        ],
      );
      expect(waited.exit).toBe(0);
    });

    it("leaves the operation running at Ctrl-C, and says how to stop it", async () => {
      const left = await cli.type(["service", "add", web, "silent"], [["settle", "\u0003"]]);
      expect(left.exit).toBe(130);
      const id = /operation (op-[0-9a-f]+) goes on; cancel: decnet op cancel op-/.exec(left.screen)?.[1] ?? "";
      await cli.run(["op", "cancel", id]);
      expect([4, 7]).toContain((await cli.run(["op", "watch", id])).exit);
    });

    it("changes nothing at Ctrl-C in a question", async () => {
      const stopped = await cli.type(["service", "remove", web, "redis"], [["[y/N]", "\u0003"]]);
      expect(stopped.exit).toBe(130);
      expect(stopped.screen).toContain("nothing was changed");
    });
  });

  it("knows masters by name, and guards the protected ones", async () => {
    const env = { DECNET_ADDRESS: "", DECNET_TOKEN: "" };
    const tokenFile = join(cli.folder, "token");
    await writeFile(tokenFile, master.token, { mode: 0o600 });
    const place = ["--address", `http://127.0.0.1:${master.port}`, "--token-file", tokenFile];
    expect((await cli.run(["context", "add", "prod", ...place, "--protected"], { env })).exit).toBe(0);
    expect((await stat(join(cli.folder, "config.yaml"))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(cli.folder, "config.yaml"), "utf8")).not.toContain(master.token);
    expect((await cli.run(["whoami", "--context", "prod"], { env })).exit).toBe(0);
    const unknown = await cli.run(["status", "--context", "lab"], { env });
    expect(unknown).toMatchObject({ exit: 2 });
    expect(unknown.stderr).toContain("decnet context add lab --address");
    expect((await cli.run(["context", "use", "prod"], { env })).exit).toBe(0);
    const refused = await cli.run(["service", "add", web, "ftp"], { env });
    expect(refused.exit).toBe(2);
    expect(refused.stderr).toContain("needs --context prod --accept prod");
    const done = await cli.run(["service", "add", web, "ftp", "--context", "prod", "--accept", "prod"], { env });
    expect(done.exit).toBe(0);
    expect(done.stderr.split("\n")[0]).toContain("context prod");
    expect((await cli.run(["context", "env", "prod"], { env })).stdout).toContain("export DECNET_CONTEXT=prod");
  });

  it("completes deckies, services that are not there, and their settings", async () => {
    // On a busy machine the master may take longer than the time limit of a key press; then nothing is offered.
    const completed = (...words: string[]) =>
      eventually(async () => {
        const { stdout } = await cli.run(["__complete", "--", ...words]);
        return stdout !== "" && stdout.split("\n");
      });
    expect(await completed("service", "add", "")).toContainEqual(expect.stringMatching(new RegExp(`^${web}\trunning on local`)));
    expect(await completed("serv")).toEqual([expect.stringMatching(/^service\t/)]);
    const slugs = (await completed("service", "add", web, "")).map((line) => line.split("\t")[0]);
    expect(slugs).toContain("http");
    expect(slugs).not.toContain("redis");
    expect(await completed("service", "add", web, "http", "fake_app=w")).toEqual(["fake_app=wordpress"]);
    for (const shell of ["bash", "zsh", "fish"]) expect((await cli.run(["completion", shell])).exit).toBe(0);
  });

  it("checks what it needs", async () => {
    const doctor = await cli.run(["doctor"]);
    expect(doctor.stdout).toContain("✔ address");
    expect(doctor.stdout).toContain("✔ docker");
    expect((await cli.run(["doctor", "--token", "wrong"])).exit).toBe(5);
  });

  it("applies a fleet, and takes deckies away only when that is accepted", async () => {
    const file = join(cli.folder, "fleet.yaml");
    const fleet = (names: string[]) =>
      writeFile(
        file,
        JSON.stringify({ lan: master.lan, deckies: names.map((name) => ({ name, services: [{ slug: "redis" }] })) }),
      );
    await fleet([web, `${master.prefix}-b`, `${master.prefix}-c`]);
    const plan = await cli.run(["fleet", "plan", "-f", file, "--exit-code"]);
    expect(plan.exit).toBe(10);
    expect(plan.stdout).toMatch(/2 to deploy/);
    const applied = await cli.run(["fleet", "apply", "-f", file, "-y"]);
    expect(applied.exit, applied.stderr).toBe(0);
    expect(applied.stderr).toContain("[3/3]");
    await fleet([web, `${master.prefix}-b`]);
    const refused = await cli.run(["fleet", "apply", "-f", file, "-y"]);
    expect(refused.exit).toBe(2);
    expect(refused.stderr).toContain("needs --accept teardown");
    expect((await cli.run(["fleet", "apply", "-f", file, "-y", "--accept", "teardown"])).exit).toBe(0);
    const torn = await cli.type(["fleet", "teardown"], [["to go on: ", "fleet\n"]]);
    expect(torn.exit).toBe(0);
    expect(await containersOf(master.prefix)).toEqual(new Map());
  });
});
