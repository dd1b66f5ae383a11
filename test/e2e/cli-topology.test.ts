import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestCli, useCli } from "../support/use-cli.ts";
import { eventually, type TestMaster, useMaster } from "../support/use-master.ts";
import { parseLines } from "../support/use-web.ts";

/** One topology from its first LAN to its end; each step stands on the one before. */
describe("decnet topology", () => {
  let master: TestMaster;
  let cli: TestCli;
  let corp: string;
  let file: string;
  let subnet: (second: number) => string;

  beforeAll(async () => {
    master = await useMaster();
    cli = await useCli(master);
    corp = `${master.prefix}-corp`;
    // Other masters of the tests have topologies on this engine too: these networks are nobody else's.
    subnet = (second) => master.lan.subnet.replace(/^10\.\d+\./, `10.${second}.`);
    file = join(cli.folder, "corp.yaml");
  });
  afterAll(async () => {
    await master?.topologies.teardownTopology({ topology: corp }).catch(() => undefined);
    await cli?.dispose();
    await master?.dispose();
  });

  const run = (line: string) => cli.run(line.replaceAll("CORP", corp).replaceAll("FILE", file).split(" "));
  const done = async (line: string) => {
    const outcome = await run(line);
    expect(outcome, `${line}\n${outcome.stderr}`).toMatchObject({ exit: 0 });
    return outcome;
  };

  it("designs one step by step, and says what is missing", async () => {
    const created = await done("topology create CORP --empty");
    expect(created.stderr).toContain(`Plan: create the topology ${corp} for local, with 0 LANs and 0 deckies`);
    expect(created.stdout).toMatch(new RegExp(`^${corp} is designed, and not deployed\\.`));
    const early = await run("topology validate CORP");
    expect(early).toMatchObject({ exit: 4, stdout: expect.stringMatching(/^× {2}DMZ_MISSING {2}topology/) });
    await done(`topology lan add CORP/dmz --dmz --subnet ${subnet(78)}`);
    const added = await done(`topology lan add CORP/core --subnet ${subnet(79)}`);
    expect(added.stderr).toContain("add the LAN core");
    expect(added.stderr).toContain("no decky changes: the design does");
    await done("topology decky add CORP/gateway --lan dmz --lan core --services redis --forwards");
    await done("topology decky add CORP/inner --lan core --services redis");
    await done("topology lan add CORP/spare");
    await done("topology lan update CORP/spare --rename office");
    await done("topology decky attach CORP/inner office");
    await done("topology decky detach CORP/inner office");
    await done("topology lan remove CORP/office");
    expect(await run("topology validate CORP")).toMatchObject({ exit: 0, stdout: expect.stringContaining("can be deployed") });
  });

  it.each([
    ["topology show nosuch", 3, "TOPOLOGY_NOT_FOUND", "decnet topology list"],
    ["topology lan remove CORP/nosuch", 3, "LAN_NOT_FOUND", ""],
    ["topology decky remove CORP/nosuch", 3, "DECKY_NOT_FOUND", ""],
    ["topology lan add CORP/dmz", 2, "TOPOLOGY_INVALID", ""],
    ["topology lan add dmz", 2, "named like corp/web-01", ""],
    ["topology lan update CORP/dmz", 2, "say what changes", ""],
    ["topology create Corp", 2, "REQUEST_INVALID", ""],
    ["topology create t0123456789ab", 2, "names something else", ""],
    ["topology resync CORP", 4, "TOPOLOGY_STATE", ""],
    ["topology lan add CORP/new --expect v1", 4, "VERSION_CONFLICT", ""],
    ["topology show CORP --format svg", 2, "--format is one of", ""],
    ["topology delete CORP", 2, "needs --accept teardown=CORP", ""],
    ["topology delete CORP --accept teardown=other", 2, "needs --accept teardown=CORP", ""],
    ["service add CORP/inner http", 4, "TOPOLOGY_STATE", ""],
  ])("%s is refused with exit code %i", async (line, exit, says, next) => {
    const refused = await run(line);
    expect(refused.exit, refused.stderr).toBe(exit);
    expect(refused.stderr).toContain(says.replace("CORP", corp));
    expect(refused.stderr).toContain(next);
  });

  it("shows the plan, and the command that does exactly that", async () => {
    const planned = await done("topology plan CORP");
    expect(planned.stdout).toContain(`Plan for the topology ${corp}: 2 to deploy`);
    expect(planned.stdout).toContain("+ gateway   deploy on local: redis");
    expect(planned.stderr).toMatch(new RegExp(`decnet topology deploy ${corp} --expect-plan [0-9a-f]+`));
    expect(await run("topology plan CORP --exit-code")).toMatchObject({ exit: 10 });
    expect(await run("topology deploy CORP")).toMatchObject({ exit: 2, stderr: expect.stringContaining("needs -y") });
  });

  it("deploys it, and shows it as a table, a tree and a picture", async () => {
    const deployed = await done("topology deploy CORP -y");
    expect(deployed.stdout).toMatch(new RegExp(`^${corp} is deployed, 2 deckies\\.`));
    expect((await done("topology list")).stdout).toMatch(new RegExp(`^${corp} +active +local +v\\d+`, "m"));
    const tree = (await done("topology show CORP --format tree")).stdout;
    expect(
      tree
        .split("\n")
        .slice(1)
        .map((line) => line.replaceAll(/[\d.]+\/24|\d+\.\d+\.\d+\.\d+/g, "N").replaceAll(/ +/g, " ")),
    ).toEqual(["dmz N DMZ", " gateway running N redis", " core N through gateway (N, forwards)", " inner running N redis"]);
    expect((await done("topology show CORP")).stdout).toMatch(/^inner +running +core:/m);
    expect((await done("topology show CORP --format mermaid")).stdout).toMatch(
      /decky_inner\["inner<br>running<br>redis"\]:::run/,
    );
    expect((await done("topology show CORP --format dot")).stdout).toMatch(/decky_gateway -- lan_core .*style=bold/);
    expect(JSON.parse((await done("topology show CORP --format json")).stdout)).toMatchObject({
      topology: { name: corp, state: "TOPOLOGY_STATE_ACTIVE" },
    });
  });

  it("changes a decky of it by its name, with the commands that change every decky", async () => {
    expect((await done("decky list")).stdout).toMatch(new RegExp(`^${corp}/inner +running`, "m"));
    const added = await done("service add CORP/inner http");
    expect(added.stderr).toContain(`Plan for ${corp}/inner on local, r1 → r2`);
    expect(added.stderr).toMatch(/= (base, redis|redis, base) {3}not touched/);
    expect(added.stdout).toContain(`undo: decnet decky restore ${corp}/inner r1`);
    const again = await run("service add CORP/inner http");
    expect(again).toMatchObject({ exit: 4, stderr: expect.stringContaining(`decnet service set ${corp}/inner http`) });
    expect(await run("service remove CORP/inner httpp -y")).toMatchObject({
      exit: 4,
      stderr: expect.stringContaining("did you mean http?"),
    });
    expect(await run("decky get CORP/iner")).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining(`did you mean ${corp}/inner?`),
    });
    expect((await done("decky get CORP/inner")).stdout).toMatch(new RegExp(`^${corp}/inner {2}topology ${corp} · host local`));
    await done("service set CORP/inner http fake_app=tomcat -y");
    expect((await done("service get CORP/inner http")).stdout).toContain("tomcat");
    await done("decky restore CORP/inner r1 -y");
    expect((await done("decky revisions CORP/inner")).stdout).toMatch(/^r4/m);
    expect((await done("op list --select decky=CORP/inner -o name")).stdout.split("\n")).toHaveLength(4);
    await done("batch --select topology=CORP,service=redis set redis maxmemory_mb=32 -y");
    await done("wait CORP/inner --timeout 1m");
    await done("decky logs CORP/inner redis --tail 1");
  });

  it("completes its names", async () => {
    // A Tab that the master does not serve within a tenth of a second completes nothing; on a busy machine it is pressed again.
    const complete = (...words: string[]) =>
      eventually(async () => {
        const { stdout } = await cli.run(["__complete", "--", ...words]);
        return stdout !== "" && stdout.split("\n");
      });
    expect(await complete("topology", "show", "")).toContain(`${corp}\tactive on local`);
    expect(await complete("topology", "lan", "remove", `${corp}/c`)).toEqual([expect.stringMatching(`^${corp}/core\t`)]);
    expect(await complete("topology", "decky", "attach", "")).toContain(`${corp}/\tactive on local`);
    expect(await complete("service", "add", `${corp}/i`)).toEqual([`${corp}/inner\trunning on local`]);
  });

  it("changes what is deployed: it asks first, and adds without a question", async () => {
    const added = await done("topology decky add CORP/extra --lan core --services redis -o jsonl");
    expect(parseLines(added.stdout).at(-1)).toMatchObject({ type: "result", state: "SUCCEEDED", decky: corp, exit: 0 });
    await done(`topology lan add CORP/archive --subnet ${subnet(80)}`);
    await done("topology lan remove CORP/archive");
    const unasked = await run("topology decky remove CORP/extra");
    expect(unasked).toMatchObject({ exit: 2, stderr: expect.stringContaining("nothing was changed") });
    expect(unasked.stderr).toContain(`Plan for the topology ${corp}: remove the decky extra`);
    const asked = await cli.type(["topology", "decky", "remove", `${corp}/extra`], [["[y/N]", "y\n"]]);
    expect(asked.exit, asked.screen).toBe(0);
    expect((await done("topology resync CORP")).stderr).toContain(`Plan for the topology ${corp}: nothing to do`);
  });

  it("writes a file without secrets, and makes the same topology from it", async () => {
    const exported = await done("topology export CORP");
    expect(exported.stdout).toMatch(new RegExp(`^# The topology ${corp}\\. Secrets are left out\\.\nname: ${corp}\n`));
    await writeFile(file, exported.stdout);
    const clash = await run("topology import -f FILE --name CORP-2");
    expect(clash).toMatchObject({ exit: 2, stderr: expect.stringMatching(/corp\.yaml:\d+:\d+: SUBNET_OVERLAP/) });
    await done("topology import -f FILE --name CORP-2 --renumber");
    await done("topology delete CORP-2 --accept teardown=CORP-2");

    expect(await run("topology delete CORP --accept teardown=CORP")).toMatchObject({ exit: 4 });
    const gone = await done("topology teardown CORP --accept teardown=CORP");
    expect(gone.stdout).toMatch(new RegExp(`^${corp} is torn down`));
    expect((await done("topology delete CORP --accept teardown=CORP")).stdout).toMatch(new RegExp(`^${corp} is forgotten`));
    const imported = await done("topology import -f FILE --request-id again-CORP");
    expect(imported.stderr).toContain("with 2 LANs and 2 deckies");
    expect((await done("topology import -f FILE --request-id again-CORP")).stderr).toContain("was already used by");
    expect((await done("topology export CORP")).stdout).toBe(exported.stdout);
  });

  it.each([
    ["isDmz: true", "isDmz: maybe", /corp-bad\.yaml:\d+:\d+: isDmz is true or false/],
    ["slug: redis", "slug: nosuch", /corp-bad\.yaml:\d+:\d+: .*nosuch/],
    ["lan: core", "lan: gone", /corp-bad\.yaml:\d+:\d+: IP_UNKNOWN_LAN/],
    ["forwards: true", "forward: true", /corp-bad\.yaml:\d+:\d+: unknown key "forward"; did you mean forwards\?/],
  ])("refuses a file with %s made %s, and says where", async (good, bad, says) => {
    const path = join(cli.folder, "corp-bad.yaml");
    await writeFile(path, (await readFile(file, "utf8")).replace(good, bad));
    const refused = await run(
      `topology import -f ${path} --name CORP-3 --renumber`.replace(bad.includes("gone") ? " --renumber" : "~", ""),
    );
    expect(refused.exit).toBe(2);
    expect(refused.stderr).toMatch(says);
    expect(await run("topology show CORP-3")).toMatchObject({ exit: 3 });
  });

  it("draws one from a seed", async () => {
    await done("topology generate CORP-4 --seed 7 --lans 4 --deckies 12 --services redis");
    const seen = JSON.parse((await done("topology show CORP-4 --json")).stdout) as { topology: { lans: []; deckies: [] } };
    expect([seen.topology.lans.length, seen.topology.deckies.length]).toEqual([4, 12]);
    expect((await done("topology show CORP-4 --format tree")).stdout.match(/designed/g)).toHaveLength(12);
    await done("topology delete CORP-4 --accept teardown=CORP-4");
  });
});
