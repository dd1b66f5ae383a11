import { once } from "node:events";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState, ServiceState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { deploy, dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

const perl = ["perl", "-MIO::Socket::INET"];
const bind = (port: number) =>
  `$s = IO::Socket::INET->new(LocalPort => ${port}, Listen => 5, ReuseAddr => 1) or die $!; $| = 1; print "bound\\n"; sleep 600`;

/** Tries for a minute. */
const waitAndBind = (port: number) =>
  `for (1..6000) { last if $s = IO::Socket::INET->new(LocalPort => ${port}, Listen => 5, ReuseAddr => 1); ` +
  `select undef, undef, undef, 0.01 } $| = 1; print "bound\\n"; sleep 600`;

describe("a port of a decky that somebody else has", () => {
  let master: TestMaster;
  let decky: { name: string };
  const undo: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    master = await useMaster();
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis", "ssh"] });
  });
  afterEach(async () => {
    for (const each of undo.splice(0).reverse()) await each();
  });
  afterAll(() => master.dispose());

  const pidOf = async (container: string) => (await dockerLines(["inspect", "--format", "{{.State.Pid}}", container]))[0] ?? "";
  const serviceOf = async (slug: string) => {
    const found = (await master.fleet.getDecky({ decky })).decky;
    return { decky: found, service: found?.services.find((each) => each.slug === slug) };
  };
  const isWell = async () => (await serviceOf("ssh")).decky?.state === DeckyState.RUNNING;
  const repairs = async () => (await master.operations.listOperations({ filter: `decky=${decky.name},kind=repair` })).operations;
  /** Runs a program until the end of the test. Resolves when it has the port. */
  const hold = async (file: string, args: string[]) => {
    const program = execa(file, args, { reject: false, timeout: 110_000 });
    undo.push(async () => {
      program.kill("SIGKILL");
      await program;
    });
    await once(program.stdout, "data");
  };
  const holdFromHost = (port: number) =>
    pidOf(decky.name).then((pid) => hold("nsenter", ["-t", pid, "-n", ...perl, "-e", bind(port)]));
  const holdIn = async (container: string, port: number) => {
    await hold("docker", ["exec", container, ...perl, "-e", bind(port)]);
    // The client's end does not end what it runs.
    undo.push(async () => {
      const [, ...lines] = await dockerLines(["top", container, "-eo", "pid,comm"]);
      for (const [pid, command] of lines.map((line) => line.trim().split(/\s+/)))
        if (command === "perl") process.kill(Number(pid), "SIGKILL");
    });
  };
  const failureOf = (call: Promise<unknown>) =>
    call.then(
      () => undefined,
      (error: unknown) => fromConnectError(error),
    );

  it.each([
    ["a process of the host", () => holdFromHost(21), /21\/tcp is held by process \d+ \(perl\) of the host, in no container/],
    [
      "a process in another service's container",
      () => holdIn(`${decky.name}-ssh`, 21),
      /21\/tcp is held by process \d+ \(perl\) in \S+-a-ssh \(service ssh\)/,
    ],
    [
      "a process in the base",
      () => holdIn(decky.name, 21),
      /21\/tcp is held by process \d+ \(perl\) in the base \S+-a; end that process, or remove the service/,
    ],
    [
      "a foreign container that joined the decky",
      async () => {
        const name = `${master.prefix}-foreign`;
        undo.push(() => execa("docker", ["rm", "-f", name], { reject: false }));
        await hold("docker", [
          "run",
          "--rm",
          "--name",
          name,
          "--network",
          `container:${decky.name}`,
          debianBase,
          ...perl,
          "-e",
          bind(21),
        ]);
      },
      /21\/tcp is held by process \d+ \(perl\) in container [0-9a-f]{12}, which is not of this decky/,
    ],
  ] as const)("%s: a service is not added there, and the others are not touched", async (_, take, clue) => {
    await eventually(isWell);
    await take();
    const before = await dockerLines(["ps", "--no-trunc", "--filter", `name=^/${decky.name}`, "--format", "{{.ID}}"]);
    const failure = await failureOf(master.mutations.addService({ decky, service: "ftp" }));
    expect(failure?.operation?.state).toBe(OperationState.FAILED);
    expect(failure?.operation?.error?.message).toMatch(clue);
    expect(await dockerLines(["ps", "--no-trunc", "--filter", `name=^/${decky.name}`, "--format", "{{.ID}}"])).toEqual(before);
    expect(await eventually(isWell)).toBe(true);
  });

  it("is said of a service that lost it; repairs do not go on for ever, and it runs again when the other is gone", async () => {
    await master.mutations.addService({ decky, service: "ftp" });
    await eventually(isWell);
    const before = (await repairs()).length;
    // Whoever ends the server and is quicker than the engine has its port.
    const [ftp = ""] = await dockerLines(["inspect", "--format", "{{.Id}}", `${decky.name}-ftp`]);
    const pid = await pidOf(decky.name);
    await execa("docker", ["pause", ftp]);
    const thief = hold("nsenter", ["-t", pid, "-n", ...perl, "-e", waitAndBind(21)]);
    await execa("docker", ["kill", ftp]);
    await thief;
    await execa("docker", ["start", ftp], { reject: false });
    // The engine knows the code only while the container waits to be started again: one of the next looks meets it then.
    const seen = await eventually(async () => {
      const { decky: found, service } = await serviceOf("ftp");
      return (
        service?.state === ServiceState.PORT_TAKEN &&
        (service?.restartCount ?? 0) > 1 &&
        /exited with code/.test(service.message) && { found, service }
      );
    }, 30_000);
    expect(seen.found?.state).toBe(DeckyState.DEGRADED);
    expect(seen.service.message).toMatch(
      /exited with code \d+.*; 21\/tcp is held by process \d+ \(perl\) of the host, in no container; end that process, or remove/,
    );
    expect(seen.service.ports.map(({ listening }) => listening)).toEqual([false]);
    const checked = async () => (await serviceOf("ftp")).decky?.observedAt?.seconds ?? 0n;
    const from = await checked();
    await eventually(async () => (await checked()) > from + 4n);
    expect((await serviceOf("ftp")).service?.state).toBe(ServiceState.PORT_TAKEN);
    expect((await repairs()).length - before).toBeLessThan(3);
    for (const each of undo.splice(0).reverse()) await each();
    await eventually(isWell, 90_000);
    await master.mutations.removeService({ decky, service: "ftp" });
  });

  it("comes back with a surplus service that had it", async () => {
    await master.mutations.addService({ decky, service: "ftp" });
    await execa("docker", ["pause", `${decky.name}-ftp`]);
    await execa("docker", ["kill", `${decky.name}-ftp`]);
    const labels = ["decnet.instance", "decnet.decky", "decnet.role"].map(async (key) => {
      const [value = ""] = await dockerLines(["inspect", "--format", `{{index .Config.Labels "${key}"}}`, `${decky.name}-ftp`]);
      return ["--label", `${key}=${value}`];
    });
    const name = `${decky.name}-extra`;
    undo.push(() => execa("docker", ["rm", "-f", name], { reject: false }));
    const what = [...(await Promise.all(labels)).flat(), "--label", "decnet.service=extra", "--name", name];
    await execa("docker", [
      "run",
      "-d",
      ...what,
      "--network",
      `container:${decky.name}`,
      debianBase,
      ...perl,
      "-e",
      waitAndBind(21),
    ]);
    const isGone = async () => (await dockerLines(["ps", "-aq", "--filter", `name=^/${name}$`])).length === 0;
    await eventually(async () => (await isGone()) && (await isWell()), 60_000);
    expect((await serviceOf("ftp")).service?.ports.map(({ listening }) => listening)).toEqual([true]);
    await master.mutations.removeService({ decky, service: "ftp" });
  });
});
