import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState, ServiceState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { openEngine } from "@decnet/engine/engine";
import { parseLinks } from "@decnet/engine/observe/host-access";
import { createProjectObserver } from "@decnet/engine/observe/observe-project";
import { readProcFile, readProcLink } from "@decnet/engine/observe/proc-file";
import { label } from "@decnet/engine/render/names";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testProgram } from "../support/programs.ts";
import { containersOf, deploy, dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

describe("an observation that fails is not one of nothing", () => {
  it("when this process has no descriptor left", async () => {
    const instance = `t${process.env["DECNET_TEST_RUN"] ?? ""}starved`;
    const labels = [`${label.instance}=${instance}`, `${label.decky}=fleet/x`, `${label.role}=base`].flatMap((each) => [
      "--label",
      each,
    ]);
    await execa("docker", ["run", "-d", "--init", ...labels, "--name", `${instance}-x`, debianBase, "sleep", "600"]);
    try {
      const socket = process.env["DECNET_DOCKER_SOCKET"] ?? "/var/run/docker.sock";
      const node = [process.execPath, ...testProgram("starved-observer.ts")];
      const { stdout } = await execa("prlimit", ["--nofile=256", ...node, instance, "fleet/x", socket]);
      const { before, starved, after } = JSON.parse(stdout) as Record<"before" | "starved" | "after", Record<string, string>>;
      expect(before).toMatchObject({ engine: "1", decky: "[1]", holders: "0" });
      expect(after).toEqual(before);
      for (const said of Object.values(starved))
        expect(said).toMatch(/NOT_OBSERVED: not observed: .*EMFILE|\["not observed: .*EMFILE/);
    } finally {
      await execa("docker", ["rm", "-f", `${instance}-x`]);
    }
  });

  it.each([
    ["a folder where a file belongs", () => readProcFile("/proc/self/fd")],
    ["a file where a link belongs", () => readProcLink("/proc/self/stat")],
    ["a process that may not be looked into", () => readProcFile("/proc/self/mem")],
    ["a folder where a link belongs", () => readProcLink("/proc/self/ns")],
    ["what is below a file", () => readProcFile("/proc/self/stat/cgroup")],
  ])("of %s", (_, read) => {
    expect(read).toThrow(/^not observed: E/);
  });

  it.each([
    ["no process", () => readProcFile(`/proc/${2 ** 30}/stat`)],
    ["no descriptor", () => readProcLink("/proc/self/fd/999999")],
  ])("but %s is nothing", (_, read) => {
    expect(read()).toBeUndefined();
  });

  it.each([
    ["nothing at all", "", "[]", "is cut off"],
    ["half of it", '[{"ifname":"lo"', "[]", "is cut off"],
    ["something else", '{"ifname":"lo"}', "[]", "is not as iproute2 writes it"],
    ["nobody", "null", "[]", "is not as iproute2 writes it"],
    ["no routes at all", '[{"ifname":"lo"}]', "", "is cut off"],
  ])("of the host's interfaces when they are said with %s", (_, addresses, routes, why) => {
    expect(() => parseLinks(addresses, routes)).toThrow(expect.objectContaining({ reason: "NOT_OBSERVED" }));
    expect(() => parseLinks(addresses, routes)).toThrow(why);
  });

  it("of files, when what stands there is not a file that cannot be read", async () => {
    const folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    const files = [{ path: "compose.yaml", content: "x", owner: 0, mode: 0o600 }];
    try {
      const projects = createProjectObserver();
      expect(await projects.observe(join(folder, "none"), files)).toEqual({ isThere: false, differing: ["compose.yaml"] });
      await mkdir(join(folder, "compose.yaml"));
      expect(await projects.observe(folder, files)).toEqual({ isThere: true, differing: ["compose.yaml"] });
      const unreadable = [{ ...files[0], path: "x".repeat(300), content: "", owner: 0, mode: 0 }];
      await expect(projects.observe(folder, unreadable)).rejects.toThrow("not observed: ENAMETOOLONG");
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("a decky that cannot be observed", () => {
  let master: TestMaster;
  let decky: { name: string };
  let isHidden = false;
  /** After so many applies, so many in which nothing can be seen. */
  let hidden = { after: 0, applies: 0 };

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster({
      openHostEngine: async (options) => {
        const engine = await openEngine(options);
        const isHiddenOnce = () => {
          const { after, applies } = hidden;
          hidden = after > 0 ? { after: after - 1, applies } : { after, applies: Math.max(0, applies - 1) };
          return after === 0 && applies > 0;
        };
        const problem = () => new AppError("NOT_OBSERVED", "not observed: EACCES: permission denied");
        return {
          ...engine,
          apply: (target, how) => (isHidden || isHiddenOnce() ? Promise.reject(problem()) : engine.apply(target, how)),
          async check(specs) {
            const checked = await engine.check(specs);
            if (!isHidden) return checked;
            const { message } = problem();
            const unknown = {
              observed: undefined,
              judged: { state: "unknown", message, baseId: "", services: [] },
              plan: { steps: [], untouched: [], risks: [], digest: "" },
            } as const;
            return { ...checked, deckies: new Map([...checked.deckies].map(([key]) => [key, unknown])) };
          },
        };
      },
    });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"] });
  });

  const seen = async () => (await master.fleet.getDecky({ decky })).decky;

  it("while a change of it is taken back is looked at again, and the change is undone", async () => {
    const before = await containersOf(decky.name);
    hidden = { after: 1, applies: 3 };
    const failure = await master.mutations.addService({ decky, service: "quits" }).then(() => undefined, fromConnectError);
    expect(failure?.operation?.error).toMatchObject({ reason: "APPLY_FAILED", undone: true });
    expect(hidden).toEqual({ after: 0, applies: 0 });
    expect(await containersOf(decky.name)).toEqual(before);
    const now = await seen();
    expect(now?.appliedRevision).toBe(now?.desiredRevision);
  });

  it("is unknown, with the cause; it is not repaired, and a change of it ends with the cause", async () => {
    const before = await containersOf(decky.name);
    const last = await seen();
    isHidden = true;
    const unknown = await eventually(async () => {
      const now = await seen();
      return now?.state === DeckyState.UNKNOWN && now;
    });
    expect(unknown.message).toContain("EACCES: permission denied");
    expect(unknown.services.map(({ state, containerId }) => [state, containerId])).toEqual([
      [ServiceState.UNKNOWN, last?.services[0]?.containerId],
    ]);
    const failure = await master.mutations.addService({ decky, service: "ssh" }).then(
      () => undefined,
      (error: unknown) => fromConnectError(error),
    );
    expect(failure?.operation?.error?.reason).toBe("NOT_OBSERVED");
    expect(failure?.operation?.error?.message).toContain("EACCES: permission denied");
    expect(await containersOf(decky.name)).toEqual(before);
    isHidden = false;
    await eventually(async () => (await seen())?.state === DeckyState.RUNNING);
    const { operations } = await master.operations.listOperations({ filter: `decky=${decky.name},kind=repair` });
    expect(operations.filter(({ plan }) => plan?.text.includes("restart") === true)).toEqual([]);
    expect((await dockerLines(["ps", "-q", "--filter", `name=^/${decky.name}-redis`])).length).toBe(1);
  });
});
