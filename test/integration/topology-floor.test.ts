import { createClient } from "@connectrpc/connect";
import { createLogger } from "@decnet/common/logging/logger";
import { createClientTransport } from "@decnet/common/rpc/client";
import { callSpans } from "@decnet/common/tracing/call-spans";
import { inSpan } from "@decnet/common/tracing/spans";
import { startTracing } from "@decnet/common/tracing/start-tracing";
import type { Tracing } from "@decnet/common/tracing/tracing";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { type Engine, openEngine } from "@decnet/engine/engine";
import { type DeckySpec, deckyKey } from "@decnet/engine/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useCountingProxy } from "../support/counting-proxy.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { drawSubnets } from "../support/own-subnets.ts";
import { deploy, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

/** What one piece of work asked of its host. */
interface Cost {
  /** How often each program was started. */
  readonly programs: Readonly<Record<string, number>>;
  /** Requests to the engine, without compose's own. */
  readonly requests: Readonly<Record<string, number>>;
}

const hour = 3_600_000;
const redis = [{ slug: "redis" }];
const usualSocket = "/var/run/docker.sock";

describe("what a decky of a topology costs its host, beside one of the fleet", () => {
  const subnetOf = drawSubnets();
  const specs = new Map<string, DeckySpec>();
  let proxy: Awaited<ReturnType<typeof useCountingProxy>>;
  let receiver: OtlpReceiver;
  let tracing: Tracing | undefined;
  let master: TestMaster;
  let engine: Engine;
  const ids: Record<string, string> = {};

  const design = async (name: string, at: 0 | 2, deckies: readonly string[]) => {
    const { topologies } = master;
    ids[name] = (await topologies.createTopology({ name })).topology?.id ?? expect.fail("no topology");
    await topologies.addLan({ topology: name, name: "dmz", isDmz: true, subnet: subnetOf(at) });
    await topologies.addLan({ topology: name, name: "core", subnet: subnetOf(at === 0 ? 1 : 3) });
    const gateway = { name: "gateway", forwards: true, attachments: [{ lan: "dmz" }, { lan: "core" }] };
    await topologies.addDecky({ topology: name, ...gateway, services: redis });
    for (const each of deckies)
      await topologies.addDecky({ topology: name, name: each, services: redis, attachments: [{ lan: "core" }] });
    await topologies.deployTopology({ topology: name });
  };

  beforeAll(async () => {
    proxy = await useCountingProxy(process.env["DECNET_DOCKER_SOCKET"] ?? usualSocket);
    receiver = await startOtlpReceiver();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint };
    // The exporter takes the address from the environment of its process, which this one is.
    Object.assign(process.env, env);
    tracing = await startTracing({ service: "test", version: "test", env, log: createLogger("test", "error") });
    master = await useMaster({
      env: { DECNET_DRIFT_INTERVAL_MS: String(hour), DECNET_DOCKER_SOCKET: proxy.socketPath },
      openHostEngine: async (options) => {
        engine = await openEngine(options);
        const { apply } = engine;
        return Object.assign(engine, {
          apply: (...[target, how]: Parameters<Engine["apply"]>) => {
            if (target.kind === "present") specs.set(deckyKey(target.spec), target.spec);
            return apply(target, how);
          },
        });
      },
    });
    await deploy(master, { alone: ["redis"] });
    await design("small", 0, ["inner"]);
    await design("large", 2, ["inner", "two", "three", "four"]);
  });
  afterAll(async () => {
    delete process.env["OTEL_EXPORTER_OTLP_ENDPOINT"];
    for (const topology of Object.keys(ids)) await master.topologies.teardownTopology({ topology }).catch(() => undefined);
    await tracing?.stop();
    await master?.dispose();
    await proxy?.dispose();
    await receiver?.stop();
  });

  const counted = (all: readonly string[]): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const each of all) counts[each] = (counts[each] ?? 0) + 1;
    return counts;
  };
  /** Rules inside a base are looked at unless that was done lately: that is left out. */
  const costOf = async (work: () => Promise<unknown>): Promise<Cost> => {
    const name = `cost ${crypto.randomUUID()}`;
    proxy.take();
    await inSpan(name, {}, work);
    const lines = proxy.take().filter((line) => !/^(\S+ \/v1\.|GET \/_ping|GET \/events)/.test(line));
    const root = await eventually(async () => receiver.spans.find((span) => span.name === name));
    const programs = receiver.spans
      .filter((span) => span.traceId === root.traceId && /^run (?!nsenter)/.test(span.name))
      .map((span) => span.name.slice("run ".length));
    return {
      programs: counted(programs),
      requests: counted(lines.map((line) => line.replace(/\?.*/, "").replace(/(containers|images)\/.+\/json$/, "$1/…"))),
    };
  };
  const add = async (decky: { readonly name: string; readonly topologyId?: string }): Promise<Cost> => {
    const { transport, close } = createClientTransport({
      address: `http://127.0.0.1:${master.port}`,
      token: master.token,
      interceptors: [callSpans],
    });
    const mutations = createClient(MutationService, transport);
    const cost = await costOf(() => mutations.addService({ decky, service: "http" }));
    await mutations.removeService({ decky, service: "http" });
    close();
    return cost;
  };
  const inner = (topology: string) => ({ name: "inner", topologyId: ids[topology] ?? "" });

  it("adds a service with as many programs and requests, however large the topology is (W-52)", async () => {
    const [small, large] = [await add(inner("small")), await add(inner("large"))];
    expect(large).toEqual(small);
  });

  it("looks at what is published and let through, once before and once after, besides what the fleet looks at", async () => {
    const [fleet, topology] = [await add({ name: `${master.prefix}-alone` }), await add(inner("small"))];
    expect(fleet.programs).toEqual({ nft: 2, "docker-compose": 1 });
    expect(topology.programs).toEqual({ nft: 4, iptables: 2, "docker-compose": 1 });
    // Which bridge its LAN has.
    expect(topology.requests).toEqual({ ...fleet.requests, "GET /networks": (fleet.requests["GET /networks"] ?? 0) + 1 });
  });

  it("is checked for drift with as many programs and requests, however many there are", async () => {
    const all = [...specs.values()];
    const few = all.filter(({ scope, name }) => scope === ids["small"] && name === "inner");
    await engine.check(all);
    const [one, many] = [await costOf(() => engine.check(few)), await costOf(() => engine.check(all))];
    expect(one).toEqual({ programs: { nft: 2, iptables: 1 }, requests: { "GET /containers/json": 1, "GET /networks": 1 } });
    expect(many).toEqual(one);
  });
});
