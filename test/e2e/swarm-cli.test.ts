import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { everywhere } from "../support/swarm-changes.ts";
import { type TestCli, useCli } from "../support/use-cli.ts";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm, type Worker } from "../support/use-swarm.ts";

describe("workers at the command line", () => {
  let swarm: Swarm;
  let cli: TestCli;
  let worker: Worker;

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["redis", "http"], join: false });
    const [only] = swarm.workers;
    if (only === undefined) throw new Error("a worker is needed");
    worker = only;
    cli = await useCli(swarm.master);
  });
  afterAll(async () => {
    await cli?.dispose();
    await swarm?.dispose();
  });

  /** Starts the command and gathers what it shows. */
  const begin = (args: readonly string[]) => {
    const child = spawn(cli.program, [...args], { env: cli.env, stdio: ["ignore", "pipe", "pipe"] });
    const shown = { text: "" };
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (shown.text += chunk.toString()));
    return { child, shown, ended: once(child, "exit") };
  };

  it("are invited: what to run there, each step as it is taken, and that it is ready", async () => {
    const { shown, ended } = begin(["host", "invite", "--name", "edge-1", "--label", "site=north"]);
    const secret = await eventually(async () => /agent join (\S+) --run/.exec(shown.text)?.[1]);
    expect(shown.text).toMatch(/Run this ON THE NEW WORKER[\s\S]*Single use, ends \d\d:\d\d UTC/);
    expect((await worker.agent("join", secret)).exitCode).toBe(0);
    await eventually(async () => shown.text.includes("token used from"));
    await worker.start();
    expect((await ended)[0]).toBe(0);
    for (const step of ["certificate", "docker 26", "catalog matches", "connected"]) expect(shown.text).toContain(`✔ ${step}`);
    expect(shown.text).toMatch(/edge-1 is ready\.\n$/);
    const list = await cli.run(["host", "list"]);
    expect(list.stdout).toMatch(
      /^NAME +STATE +SEEN +CERT +DECKIES +VERSION\nlocal .*\nedge-1 +connected +\ds +\d+[hd] +0\/0 +\S+$/,
    );
    expect((await cli.run(["host", "get", "edge-1"])).stdout).toContain("site=north");
    const again = begin(["host", "invite", "--name", "edge-2"]);
    await eventually(async () => again.shown.text.includes("Single use"));
    again.child.kill("SIGINT");
    expect((await again.ended)[0]).toBe(130);
    const made = await cli.run(["host", "invite", "--name", "edge-3", "--no-wait", "--json"]);
    expect(JSON.parse(made.stdout).token.hostName).toBe("edge-3");
  });

  it("get deckies by the fleet file, and many changes at once", async () => {
    const { prefix, lan } = swarm.master;
    const fleet = join(cli.folder, "fleet.yaml");
    const deckies = [
      { name: `${prefix}-[01-12]`, services: [{ slug: "redis" }], placement: { labels: { labels: { site: "north" } } } },
    ];
    await writeFile(fleet, JSON.stringify({ lan, deckies }));
    expect((await cli.run(["fleet", "apply", "-f", fleet, "-y"])).exit).toBe(0);
    const batch = ["batch", "--select", "host=edge-1", "remove", "redis"];
    const plan = await cli.run([...batch, "--plan"]);
    expect(plan.stdout).toContain("Plan: 12 deckies on 1 host: 12 remove-service");
    const refused = await cli.run([...batch, "-y"]);
    expect([refused.exit, refused.stderr]).toEqual([2, expect.stringContaining("needs --accept count=12")]);
    const done = await cli.run([...batch, "--accept", "count=12", "--parallel", "4", "--json"]);
    expect([done.exit, JSON.parse(done.stdout).summary.done]).toEqual([0, 12]);
    const twice = await cli.run([...batch, "--accept", "count=0", "-y", "--max-failures", "2", "--parallel", "1"]);
    expect(twice.exit).toBe(4);
    expect(twice.stderr.trimEnd().split("\n").at(-2)).toMatch(/done 0 . failed 2 . waiting 0 . queued 0 . not begun 10/);
    const file = join(cli.folder, "changes.yaml");
    await writeFile(file, JSON.stringify({ changes: [{ add: { decky: { name: `${prefix}-01` }, service: "http" } }] }));
    const one = await cli.run(["batch", "-f", file]);
    expect([one.exit, one.stdout]).toEqual([0, expect.stringMatching(/^done 1 /)]);
  });

  it("that are away make changes wait, or are refused", async () => {
    await worker.stop("SIGTERM");
    await eventually(async () => !(await swarm.isConnected("edge-1")));
    const add = ["service", "add", `${swarm.master.prefix}-02`, "http"];
    const refused = await cli.run([...add, "--when-away", "refuse"]);
    expect([refused.exit, refused.stderr]).toEqual([6, expect.stringContaining("HOST_UNREACHABLE")]);
    const waiting = await cli.run([...add, "--wait", "3s"]);
    expect([waiting.exit, waiting.stderr]).toEqual([9, expect.stringContaining("waiting for host edge-1")]);
    await worker.start();
    await eventually(async () => (await everywhere(swarm)).some((each) => each === "edge-1/02-http"));
  });

  it("are taken out of service by their typed name alone", async () => {
    const nowhere = await cli.run(["host", "drain", "edge-1", "--accept", "drain=edge-1"]);
    expect([nowhere.exit, nowhere.stderr]).toEqual([4, expect.stringContaining("NO_HOST_FITS")]);
    const gone = ["host", "decommission", "edge-1"];
    const asked = await cli.run([...gone, "-y"]);
    expect([asked.exit, asked.stderr]).toEqual([2, expect.stringContaining("needs --accept decommission=edge-1")]);
    expect(asked.stderr).toContain("12 to teardown");
    const done = await cli.run([...gone, "--accept", "decommission=edge-1"]);
    expect([done.exit, done.stdout]).toEqual([0, expect.stringContaining("edge-1 is decommissioned, 12 deckies were removed")]);
    expect(await everywhere(swarm)).toEqual([]);
    expect((await cli.run(["host", "list", "-o", "name"])).stdout).toBe("local");
  });
});
