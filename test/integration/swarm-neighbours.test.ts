import { join } from "node:path";
import { createRunner } from "@decnet/agent/deckies/runner";
import { openSpecStore } from "@decnet/agent/deckies/spec-store";
import { AppError } from "@decnet/common/errors/app-error";
import { createLogger } from "@decnet/common/logging/logger";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { openEngine } from "@decnet/engine/engine";
import { debianBase } from "@decnet/engine/tables/distros";
import type { PresentTarget } from "@decnet/engine/wire/decky-spec";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ownCatalog, testCatalog } from "../support/catalogs.ts";
import { useEngineEvents } from "../support/engine-events.ts";
import { holdSession } from "../support/hold-session.ts";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm } from "../support/use-swarm.ts";

const names = ["a", "b", "c"];
const mutations = 30;
const slugs = ["http", "ftp", "telnet"];

/** Repeatable numbers in [0, 1). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

describe("on a worker with several deckies", () => {
  let swarm: Swarm;
  const decky = (name: string) => ({ name: `${swarm.master.prefix}-${name}` });
  const worker = () => swarm.workers[0] ?? expect.fail("there is no worker");

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, slugs: ["redis", "ssh", "http", "ftp", "telnet"] });
    await swarm.master.fleet.applyFleet({
      fleet: {
        lan: swarm.master.lan,
        deckies: names.map((name) => ({
          name: decky(name).name,
          services: [{ slug: "ssh" }],
          placement: { where: { case: "host", value: "edge-1" } },
        })),
      },
    });
  });
  afterAll(() => swarm?.dispose());

  it(`a change touches what its plan names and nothing else, ${mutations} times over (W-07)`, async () => {
    const { master } = swarm;
    const { host } = worker();
    // A session to each decky's ssh stays open all the time; no change here names ssh.
    const sessions = await Promise.all(names.map((name) => holdSession(decky(name).name, host.docker)));
    onTestFinished(() => {
      for (const session of sessions) session.close();
    });
    const events = await useEngineEvents(master.prefix, host.socket);
    onTestFinished(() => events.dispose());
    const random = seeded(11);
    const present = new Map(names.map((name) => [name, new Set<string>()]));
    for (let index = 0; index < mutations; index += 1) {
      const name = names[Math.floor(random() * names.length)] ?? "a";
      const service = slugs[Math.floor(random() * slugs.length)] ?? "http";
      const has = present.get(name) ?? new Set();
      const isThere = has.has(service);
      const change = { decky: decky(name), service };
      const { operation } = isThere ? await master.mutations.removeService(change) : await master.mutations.addService(change);
      expect(operation?.state).toBe(OperationState.SUCCEEDED);
      expect(operation?.receipt?.othersUnchanged).toBe(true);
      if (isThere) has.delete(service);
      else has.add(service);
      // The engine's own log: what this container went through, and not a word about another one.
      const planned = `${decky(name).name}-${service}`;
      const logged = await events.until(`${isThere ? "destroy" : "start"} ${planned}`);
      const expected = isThere ? ["die", "stop", "destroy"] : ["create", "start"];
      expect(logged.filter((line) => line !== `kill ${planned}`).sort()).toEqual(
        expected.map((act) => `${act} ${planned}`).sort(),
      );
    }
    expect(await events.sofar()).toEqual([]);
    for (const session of sessions) expect(session.isOpen()).toBe(true);
    const wanted = names.flatMap((name) =>
      ["", "-ssh", ...[...(present.get(name) ?? [])].map((slug) => `-${slug}`)].map((end) => decky(name).name + end),
    );
    expect([...(await worker().containers()).keys()].sort()).toEqual(wanted.sort());
  });

  it("changes of one decky that come at once are made in order, and the last one holds (W-37)", async () => {
    const { master } = swarm;
    const codes = [401, 402, 403, 404, 405];
    await master.mutations.addService({ decky: decky("a"), service: "http" }).catch(() => undefined);
    const ids: string[] = [];
    for (const code of codes) {
      const config = { response_code: code };
      const options = { wait: Wait.ACCEPTED };
      const { operation } = await master.mutations.updateServiceConfig({
        decky: decky("a"),
        service: "http",
        config,
        apply: true,
        options,
      });
      ids.push(operation?.id ?? "");
    }
    const ended = await Promise.all(
      ids.map((id) =>
        eventually(async () => {
          const { operation } = await master.operations.getOperation({ id });
          return operation !== undefined && operation.state >= OperationState.SUCCEEDED ? operation : undefined;
        }, 60_000),
      ),
    );
    expect(ended.at(-1)?.state).toBe(OperationState.SUCCEEDED);
    for (const each of ended) expect([OperationState.SUCCEEDED, OperationState.SUPERSEDED]).toContain(each.state);
    const { decky: seen } = await master.fleet.getDecky({ decky: decky("a") });
    expect([seen?.state, seen?.appliedRevision]).toEqual([DeckyState.RUNNING, seen?.desiredRevision]);
    const made = await worker().host.docker(["inspect", "--format", '{{join .Config.Env "\\n"}}', `${decky("a").name}-http`]);
    expect(made).toContain("RESPONSE_CODE=405");
  });

  it("an older revision that comes late is refused, and a newer one takes the place of one that runs (W-37)", async () => {
    const { host } = worker();
    const catalog = await loadCatalog([ownCatalog, testCatalog]);
    const folder = join(host.stateDir, "late");
    const opened = openEngine({
      instance: "late",
      dataDir: folder,
      catalog,
      fingerprint: (text) => text.length.toString(16),
      socketPath: host.socket,
    });
    const specs = await openSpecStore(join(folder, "specs"), catalog, (_, error) => expect.fail(String(error)));
    const stopping = new AbortController();
    const runner = createRunner({
      engine: await opened,
      specs,
      parallel: 2,
      stopping: stopping.signal,
      log: createLogger("test", "error"),
    });
    const name = `${swarm.master.prefix}-late`;
    const target = (revision: number, slugs: readonly string[]): PresentTarget => ({
      kind: "present",
      id: "1",
      distro: "debian",
      spec: {
        scope: "fleet",
        name,
        revision,
        hostname: "late",
        baseImage: debianBase,
        buildBase: debianBase,
        osFamily: "linux",
        attachments: [
          {
            lan: { name: `${name}-lan`, driver: "bridge", subnet: "10.78.1.0/24", gateway: "10.78.1.1", parent: undefined },
            ip: "10.78.1.9",
            mac: "02:00:00:00:00:09",
          },
        ],
        forwards: false,
        services: slugs.map((slug) => ({ slug, config: {} })),
      },
    });
    const nothing = { expectedDigest: "", onPlan: () => undefined, onStep: () => undefined };
    const refusal = (call: Promise<unknown>) =>
      call.then(
        () => "was not refused",
        (error: unknown) => (error instanceof AppError ? error.reason : String(error)),
      );
    await runner.apply(target(2, ["redis"]), nothing);
    expect(await refusal(runner.apply(target(1, ["http"]), nothing))).toBe("REVISION_CONFLICT");
    // The third settles for seconds; the fourth does not wait for that, and the third comes back to be refused.
    let isSettling = false;
    const third = refusal(
      runner.apply(target(3, ["redis", "slow"]), {
        ...nothing,
        onStep({ step }) {
          isSettling ||= step.verb === "settle" && step.service === "slow";
        },
      }),
    );
    await eventually(async () => isSettling);
    const fourth = await runner.apply(target(4, ["redis", "http"]), nothing);
    expect(await third).toBe("REVISION_CONFLICT");
    expect(fourth.failure).toBeUndefined();
    expect(await refusal(runner.apply(target(3, ["redis", "slow"]), nothing))).toBe("REVISION_CONFLICT");
    expect([...(await worker().containers(name)).keys()].sort()).toEqual([name, `${name}-http`, `${name}-redis`]);
    const { failure } = await runner.remove({ kind: "absent", scope: "fleet", name }, nothing);
    expect(failure).toBeUndefined();
    await runner.idle();
  });
});
