import { createHash, randomBytes } from "node:crypto";
import { Code, ConnectError } from "@connectrpc/connect";
import { OperationState, StepState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { openEngine } from "@decnet/engine/engine";
import type { DeckySpec } from "@decnet/engine/spec";
import { debianBase } from "@decnet/engine/tables/distros";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testCatalog } from "../support/catalogs.ts";
import { useCountingProxy } from "../support/counting-proxy.ts";
import { useOwnCatalog } from "../support/own-catalog.ts";
import { processesWith } from "../support/processes.ts";
import { containersOf, deploy, eventually, type TestMaster, useMaster, usePlace } from "../support/use-master.ts";

it("a compose command that hangs is stopped with everything it started, and fails its step (W-51)", async () => {
  const place = await usePlace();
  const proxy = await useCountingProxy("/var/run/docker.sock", (line) => /^POST \S*\/containers\/create/.test(line));
  try {
    const engine = await openEngine({
      instance: place.prefix,
      dataDir: place.dataDir,
      catalog: await loadCatalog([testCatalog]),
      fingerprint: (text) => createHash("sha256").update(text).digest("hex"),
      socketPath: proxy.socketPath,
      timeouts: { upMs: 2_000, buildMs: 60_000 },
    });
    const spec: DeckySpec = {
      scope: "fleet",
      name: `${place.prefix}-a`,
      revision: 1,
      hostname: "a",
      baseImage: debianBase,
      buildBase: debianBase,
      osFamily: "linux",
      attachments: [
        {
          lan: { ...place.lan, driver: "bridge", gateway: place.lan.subnet.replace("0/24", "1"), parent: undefined },
          ip: place.lan.subnet.replace("0/24", "2"),
          mac: "00:50:56:00:00:01",
        },
      ],
      forwards: false,
      services: [],
    };
    const steps: string[] = [];
    const { failure } = await engine.apply(
      { kind: "present", spec },
      {
        expectedDigest: "",
        onPlan: () => undefined,
        onStep: (event) => void steps.push(`${event.kind} ${event.step.verb}`),
        signal: AbortSignal.timeout(60_000),
      },
    );
    expect(failure?.message).toMatch(/^starting \S+ took longer than \d+ s and was stopped$/);
    expect(steps.slice(-2)).toEqual(["started create", "failed create"]);
    expect(await processesWith(place.dataDir)).toEqual([]);
  } finally {
    await proxy.dispose();
    await place.dispose();
  }
});

describe("an image that takes long to build", () => {
  let master: TestMaster;
  let slow: Awaited<ReturnType<typeof useOwnCatalog>>;
  let hanging: Awaited<ReturnType<typeof useOwnCatalog>>;
  let decky: { name: string };
  const mark = `build-${randomBytes(4).toString("hex")}`;

  beforeAll(async () => {
    slow = await useOwnCatalog(7005, `RUN echo ${mark} && sleep 6`);
    hanging = await useOwnCatalog(7006, `RUN echo hangs-${mark} && sleep 1000; true`);
    master = await useMaster({ env: { DECNET_CATALOGUE: `${slow.folder}:${hanging.folder}` } });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"] });
  });
  afterAll(async () => {
    await master.dispose();
    await slow.dispose();
    await hanging.dispose();
  });

  const operation = async (id: string) => (await master.operations.getOperation({ id })).operation;

  it("does not hold up its caller, and goes on when the caller's deadline is over (W-50)", async () => {
    const began = performance.now();
    const accepted = await master.mutations.addService({ decky, service: slow.slug, options: { wait: Wait.ACCEPTED } });
    const tookMs = performance.now() - began;
    const id = accepted.operation?.id ?? "";
    // The same request once more, by a caller with little time: it is answered in time, the operation still runs.
    const options = { requestId: mark };
    await eventually(async () => (await operation(id))?.state === OperationState.RUNNING);
    const hurried = await master.mutations
      .addService({ decky, service: "http", options }, { timeoutMs: 1_000 })
      .then((answer) => answer.operation?.state)
      .catch((error: unknown) => ConnectError.from(error).code);
    expect([OperationState.PENDING, OperationState.RUNNING, Code.DeadlineExceeded]).toContain(hurried);
    expect((await operation(id))?.state).toBe(OperationState.RUNNING);
    expect(tookMs).toBeLessThan(2_000);
    // Who watches sees the build begin and the end come.
    const steps: string[] = [];
    let last: OperationState | undefined;
    for await (const { item } of master.operations.watchOperation({ id })) {
      if (item.case === "step" && item.value.state === StepState.SUCCEEDED) steps.push(item.value.verb);
      if (item.case === "operation") last = item.value.state;
    }
    expect(last).toBe(OperationState.SUCCEEDED);
    expect(steps).toEqual(["prepare-image", "write-project", "create", "settle"]);
    // The hurried caller asks again, and gets the end of the same operation.
    const again = await master.mutations.addService({ decky, service: "http", options });
    expect(again.operation?.state).toBe(OperationState.SUCCEEDED);
    expect([...(await containersOf(decky.name)).keys()].sort()).toEqual(
      ["", "-http", `-${slow.slug}`, "-redis"].map((suffix) => `${decky.name}${suffix}`).sort(),
    );
  });

  it("can be cancelled when it hangs before the parts of a fleet had their turn, and leaves no process behind", async () => {
    const names = ["b", "c"].map((name) => `${master.prefix}-${name}`);
    const others = names.map((name) => ({ name, services: [{ slug: hanging.slug }] }));
    const { decky: present } = await master.fleet.getDecky({ decky });
    const services = present?.services.map(({ slug }) => ({ slug })) ?? [];
    const { operation: fleet } = await master.fleet.applyFleet({
      fleet: { lan: master.lan, deckies: [{ ...decky, services }, ...others] },
      options: { wait: Wait.ACCEPTED },
    });
    const id = fleet?.id ?? "";
    await eventually(async () => (await processesWith(`hangs-${mark}`)).length > 0);
    await master.operations.cancelOperation({ id });
    await eventually(async () => ((await operation(id))?.state ?? 0) > OperationState.RUNNING, 30_000);
    await eventually(async () => (await processesWith(`decnet/${hanging.slug}:`)).length === 0);
    await eventually(async () => (await processesWith(`hangs-${mark}`)).length === 0);
  });

  it("can be cancelled when it hangs, and leaves no process behind (W-51)", async () => {
    const before = await containersOf(decky.name);
    const { operation: hung } = await master.mutations.addService({
      decky,
      service: hanging.slug,
      options: { wait: Wait.ACCEPTED },
    });
    const id = hung?.id ?? "";
    await eventually(async () => (await processesWith(`hangs-${mark}`)).length > 0);
    expect(await processesWith(`decnet/${hanging.slug}:`)).not.toEqual([]);
    await master.operations.cancelOperation({ id });
    const ended = await eventually(async () => {
      const found = await operation(id);
      return found !== undefined && found.state > OperationState.RUNNING ? found : undefined;
    }, 30_000);
    expect(ended.state).toBe(OperationState.CANCELLED);
    await eventually(async () => (await processesWith(`decnet/${hanging.slug}:`)).length === 0);
    await eventually(async () => (await processesWith(`hangs-${mark}`)).length === 0);
    expect(await containersOf(decky.name)).toEqual(before);
    // Nothing blocks the next change.
    const next = await master.mutations.removeService({ decky, service: "http" });
    expect(next.operation?.state).toBe(OperationState.SUCCEEDED);
  });
});
