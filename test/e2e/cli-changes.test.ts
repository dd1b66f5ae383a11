import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { containersOf } from "../support/use-master.ts";
import { parseLines, useWeb, type Web } from "../support/use-web.ts";

describe("a change at the command line", () => {
  let web: Web;
  const run = (...args: string[]) => web.cli.run(args);

  beforeAll(async () => {
    web = await useWeb();
  });
  beforeEach(() => web.reset());
  afterAll(() => web?.dispose());

  it("adds without a question: plan, steps, receipt, verdict, undo", async () => {
    const before = await web.revision();
    const added = await run("service", "add", web.name, "http", "fake_app=wordpress", "--reason", "ticket 4712");
    expect(added.exit).toBe(0);
    expect(added.stderr).toContain(`Plan for ${web.name} on local, r${before} → r${before + 1}`);
    expect(added.stderr).toContain(`+ http     create ${web.name}-http   requested`);
    expect(added.stderr).toContain('+ fake_app     "wordpress"');
    expect(added.stderr).toMatch(/= .*(base|ssh).* not touched/);
    expect(added.stderr).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z ✔ create +\S+-http +[\d.]+s$/m);
    expect(added.stderr).toMatch(/✔ receipt +3 siblings unchanged/);
    expect(added.stdout).toMatch(new RegExp(`^${web.name} r${before + 1} applied, http is running\\. {3}[\\d.]+s {3}op-`));
    expect(added.stdout).toContain(`undo: decnet decky restore ${web.name} r${before}`);
  });

  it("says later what was asked for, and is taken back", async () => {
    const before = await web.revision();
    await run("service", "add", web.name, "http", "--reason", "ticket 4712");
    expect((await run("decky", "revisions", web.name)).stdout).toContain("ticket 4712");
    expect((await run("decky", "revisions", web.name, "--diff", `r${before}..r${before + 1}`)).stdout).toContain("+ http");
    expect((await run("decky", "restore", web.name, `r${before}`, "-y")).exit).toBe(0);
    expect([...(await containersOf(web.name)).keys()]).not.toContain(`${web.name}-http`);
    const operations = await run("op", "list", "--select", `decky=${web.name}`);
    expect(operations.stdout).toMatch(new RegExp(`restore-revision .* ✔ r${before + 2}`));
  });

  it("prints steps and a result line for programs, which can be read again", async () => {
    const added = await run("service", "add", web.name, "http", "-o", "jsonl");
    expect(added.stderr).toBe("");
    const all = parseLines(added.stdout);
    expect(all.map(({ type }) => type)).toEqual(expect.arrayContaining(["plan", "step"]));
    expect(all.at(-1)).toMatchObject({ type: "result", state: "SUCCEEDED", decky: web.name, exit: 0, othersUnchanged: true });
    const operation = String(all.at(-1)?.["operation"]);
    const watched = await run("op", "watch", operation);
    expect(watched).toMatchObject({ exit: 0 });
    expect(watched.stderr).toContain(`${web.name}-http`);
    const receipt = await run("op", "get", operation, "--receipt");
    expect(receipt.stdout).toMatch(new RegExp(`${web.name}-http +- +[0-9a-f]{12} .* yes`));
  });

  it("plans, and does exactly that plan or nothing", async () => {
    await web.add("http");
    const set = ["service", "set", web.name, "http"];
    const plan = await run(...set, "fake_app=tomcat", "--plan", "--exit-code");
    expect(plan.exit).toBe(10);
    expect(plan.stdout).toContain(`+/- http     recreate ${web.name}-http   config changed`);
    const digest = /--expect-plan ([0-9a-f]{32})/.exec(plan.stderr)?.[1] ?? "";
    expect(plan.stderr).toContain(`decnet service set ${web.name} http fake_app=tomcat --expect-plan ${digest}`);
    const other = await run(...set, "fake_app=jenkins", "-y", "--expect-plan", digest);
    expect(other.exit).toBe(4);
    expect(other.stderr).toContain("PLAN_CHANGED");
    expect(other.stderr).toContain("the plan now:");
    const done = await run(...set, "fake_app=tomcat", "-y", "--expect-plan", digest);
    expect(done.exit).toBe(0);
    const again = await run(...set, "fake_app=tomcat", "--plan", "--exit-code");
    expect(again).toMatchObject({ exit: 0 });
    expect(again.stdout).toContain("nothing to do");
  });

  it("is stored without being applied, and applied from what is stored", async () => {
    await web.add("http");
    const saved = await run("service", "set", web.name, "http", "response_code=404", "--save");
    expect(saved.stdout).toContain("saved, not applied");
    expect((await run("decky", "get", web.name)).stdout).toContain(`decnet service set ${web.name} http --apply-staged`);
    expect((await run("service", "set", web.name, "http", "--apply-staged", "-y")).exit).toBe(0);
    expect((await run("service", "get", web.name, "http")).stdout).toMatch(/response_code +404/);
  });

  it("takes secrets from files and standard input, warns of plain ones, and shows none", async () => {
    const set = ["service", "set", web.name, "redis"];
    const secret = join(web.cli.folder, "secret.txt");
    await writeFile(secret, "hunter-one\n");
    const fromFile = await run(...set, `password=@${secret}`, "-y", "--reason", "rotation");
    const fromInput = await web.cli.run([...set, "password=-", "-y"], { input: "hunter-two\n" });
    const plain = await run(...set, "password=hunter-three", "--plan");
    expect([fromFile.exit, fromInput.exit, plain.exit]).toEqual([0, 0, 0]);
    expect(plain.stderr).toContain("--expect-plan");
    const loud = await run(...set, "password=hunter-three", "-y");
    expect(loud.stderr).toContain("warning: password is a secret");
    const said = [fromFile, fromInput, plain, loud].map(({ stdout, stderr }) => stdout + stderr).join("\n");
    expect(said).toContain("(secret)");
    expect(said).not.toContain("hunter");
  });

  it("goes on beside another one of the same decky", async () => {
    await web.add("http");
    const both = await Promise.all([
      run("service", "set", web.name, "redis", "maxmemory_mb=48", "-y"),
      run("service", "set", web.name, "http", "response_code=403", "-y"),
    ]);
    expect(both.map(({ exit }) => exit)).toEqual([0, 0]);
  });

  it("with a repeated request id is the first operation", async () => {
    await web.add("http");
    const args = ["service", "remove", web.name, "http", "-y", "--request-id", "remove-once", "-o", "name"];
    const [first, second] = [await run(...args), await run(...args)];
    expect(first).toMatchObject({ exit: 0 });
    expect(second).toMatchObject({ exit: 0, stdout: first.stdout });
  });

  it("of the whole fleet takes deckies away only when that is accepted", async () => {
    const file = join(web.cli.folder, "fleet.yaml");
    const names = ["web", "b", "c"].map((each) => `${web.master.prefix}-${each}`);
    const want = (wanted: string[]) =>
      writeFile(
        file,
        JSON.stringify({ lan: web.master.lan, deckies: wanted.map((name) => ({ name, services: [{ slug: "redis" }] })) }),
      );
    await want(names);
    const plan = await run("fleet", "plan", "-f", file, "--exit-code");
    expect(plan.exit).toBe(10);
    expect(plan.stdout).toMatch(/2 to deploy/);
    const applied = await run("fleet", "apply", "-f", file, "-y");
    expect(applied.exit, applied.stderr).toBe(0);
    expect(applied.stderr).toContain("[3/3]");
    await want(names.slice(0, 2));
    const refused = await run("fleet", "apply", "-f", file, "-y");
    expect(refused.exit).toBe(2);
    expect(refused.stderr).toContain("needs --accept teardown");
    expect((await run("fleet", "apply", "-f", file, "-y", "--accept", "teardown")).exit).toBe(0);
    const torn = await web.cli.type(["fleet", "teardown"], [["to go on: ", "fleet\n"]]);
    expect(torn.exit).toBe(0);
    expect(await containersOf(web.master.prefix)).toEqual(new Map());
  });
});
