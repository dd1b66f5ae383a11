import { DeckyState, ServiceState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deploy, dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

/** Starts processes until no more are allowed, and tries again and again for a while. Bounded by the container's own limit. */
const forkBomb = [
  "for (1..400) { my $p = fork; last unless defined $p; if (!$p) { sleep 600; exit } }",
  "for (1..300) { my $p = fork; exit if defined $p && !$p; select undef, undef, undef, 0.1 }",
  "sleep 600",
].join(" ");
/** Takes more memory than it may have, in a child that is killed for it. */
const glutton = "for (1..3) { my $p = fork; if (!$p) { my @held; push @held, 'x' x (1 << 20) for 1..400; exit } waitpid $p, 0 }";

describe("a service that has nothing left of what its container may have", () => {
  let master: TestMaster;
  let decky: { name: string };

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_EXHAUSTED_SECONDS: "4" } });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis", "ssh"] });
  });

  const seen = async (slug: string) => {
    const found = (await master.fleet.getDecky({ decky })).decky;
    return { decky: found, service: found?.services.find((each) => each.slug === slug) };
  };
  const startOf = async (slug: string) =>
    (await dockerLines(["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", `${decky.name}-${slug}`]))[0] ?? "";
  const repairs = async () => (await master.operations.listOperations({ filter: `decky=${decky.name},kind=repair` })).operations;

  it("of processes: is said with counts, and the service is restarted when it stays so", async () => {
    await eventually(async () => (await seen("ssh")).decky?.state === DeckyState.RUNNING);
    const [ssh, redis] = [await startOf("ssh"), await startOf("redis")];
    await execa("docker", ["exec", "-d", `${decky.name}-ssh`, "perl", "-e", forkBomb]);
    const said = await eventually(async () => {
      const now = await seen("ssh");
      return (
        now.service?.state === ServiceState.EXHAUSTED && /refused/.test(now.service.message) && { ...now, service: now.service }
      );
    });
    expect(said.service.message).toMatch(
      /^all 128 processes that it may have are in use, and (over )?\d+ more w(ere|as) refused/,
    );
    expect(said.decky?.state).toBe(DeckyState.DEGRADED);
    expect(said.service.ports.every(({ listening }) => listening)).toBe(true);
    expect(await startOf("ssh")).toBe(ssh);
    await eventually(async () => (await seen("ssh")).decky?.state === DeckyState.RUNNING, 60_000);
    const [id] = ssh.split(" ");
    expect(await startOf("ssh")).toMatch(new RegExp(`^${id} `));
    expect(await startOf("ssh")).not.toBe(ssh);
    expect(await startOf("redis")).toBe(redis);
    expect((await repairs()).some(({ plan }) => /restart \S+-ssh \(all 128 processes/.test(plan?.text ?? ""))).toBe(true);
  });

  it("of memory: is said with counts, and is over when nothing more is asked for", async () => {
    await eventually(async () => (await seen("ssh")).decky?.state === DeckyState.RUNNING);
    await execa("docker", ["exec", `${decky.name}-ssh`, "perl", "-e", glutton], { reject: false });
    const said = await eventually(async () => {
      const now = await seen("ssh");
      return now.service?.state === ServiceState.EXHAUSTED && now.service;
    });
    expect(said.message).toMatch(/^all memory that it may have is in use, and (over )?\d+ process(es were| was) killed for it/);
    await eventually(async () => (await seen("ssh")).decky?.state === DeckyState.RUNNING, 40_000);
  });
});

describe("a service that ends again and again", () => {
  let master: TestMaster;
  let decky: { name: string };

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_DRIFT_INTERVAL_MS: "300" } });
    decky = { name: `${master.prefix}-a` };
    await master.fleet.applyFleet({
      fleet: { lan: master.lan, driftPolicy: 2, deckies: [{ ...decky, services: [{ slug: "redis" }, { slug: "ssh" }] }] },
    });
  });

  it("is said to do so, with its restarts as the engine counts them and how it ended", async () => {
    const container = `${decky.name}-redis`;
    const truth = async () => (await dockerLines(["inspect", "--format", "{{.RestartCount}}", container]))[0];
    const seen = async () => {
      const found = (await master.fleet.getDecky({ decky })).decky;
      return { decky: found, service: found?.services.find(({ slug }) => slug === "redis") };
    };
    const told = await eventually(async () => {
      const [pid = "0"] = await dockerLines(["inspect", "--format", "{{.State.Pid}}", container]);
      if (pid !== "0") process.kill(Number(pid), "SIGKILL");
      const before = await truth();
      const { decky: found, service } = await seen();
      return Number(before) > 3 && service?.restartCount === Number(before) && { found, service };
    }, 60_000);
    expect(told.service.state).toBe(ServiceState.RESTARTING);
    expect(told.service.message).toMatch(/exited with code 137 and (is being restarted|was restarted \d+ times)/);
    expect(told.found?.state).toBe(DeckyState.DEGRADED);
    await eventually(async () => (await seen()).decky?.state === DeckyState.RUNNING, 90_000);
    expect((await seen()).service?.restartCount).toBe(Number(await truth()));
  });
});
