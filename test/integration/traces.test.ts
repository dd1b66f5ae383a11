import { createClient } from "@connectrpc/connect";
import { createLogger } from "@decnet/common/logging/logger";
import { createClientTransport } from "@decnet/common/rpc/client";
import { callSpans } from "@decnet/common/tracing/call-spans";
import { inSpan } from "@decnet/common/tracing/spans";
import { startTracing } from "@decnet/common/tracing/start-tracing";
import type { Tracing } from "@decnet/common/tracing/tracing";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { eventually } from "../support/use-master.ts";
import { joinWorker, type Swarm, useSwarm } from "../support/use-swarm.ts";

describe("a trace of an AddService on a worker", () => {
  let swarm: Swarm;
  let receiver: OtlpReceiver;
  let tracing: Tracing | undefined;

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, join: false });
    receiver = await startOtlpReceiver(swarm.lab.masterAddress);
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint };
    const [worker] = swarm.workers;
    if (worker === undefined) throw new Error("no worker");
    await joinWorker(swarm.master, worker, { env });
    // The exporter takes the address from the environment of its process, which this one is: the client and the master.
    Object.assign(process.env, env);
    tracing = await startTracing({ service: "client-and-master", version: "test", env, log: createLogger("test", "error") });
  });
  afterAll(async () => {
    delete process.env["OTEL_EXPORTER_OTLP_ENDPOINT"];
    await tracing?.stop();
    await swarm?.dispose();
    await receiver?.stop();
  });

  const find = (traceId: string, name: string): ReceivedSpan | undefined =>
    receiver.spans.find((span) => span.traceId === traceId && span.name === name);

  it("goes from the client through master and agent to compose, over OTLP by gRPC", async () => {
    const { master } = swarm;
    const decky = { name: `${master.prefix}-a` };
    const placement = { where: { case: "host", value: "edge-1" } } as const;
    const fleet = { lan: master.lan, deckies: [{ name: decky.name, services: [{ slug: "redis" }], placement }] };
    await master.fleet.applyFleet({ fleet });
    const { transport, close } = createClientTransport({
      address: `http://127.0.0.1:${master.port}`,
      token: master.token,
      interceptors: [callSpans],
    });
    const client = createClient(MutationService, transport);
    const { operation } = await inSpan("a person's change", {}, () => client.addService({ decky, service: "http" }));
    close();
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    const root = await eventually(async () => receiver.spans.find((span) => span.name === "a person's change"));
    const command = await eventually(async () =>
      receiver.spans.find((span) => span.traceId === root.traceId && span.name === "run docker-compose"),
    );
    // Each process sends what it has in its own time.
    await eventually(async () => receiver.wayUp(command).at(-1) === root.name);
    expect(command.service).toBe("decnet-agent");
    expect(receiver.wayUp(command)).toEqual([
      "run docker-compose",
      "step create",
      "apply",
      // Served by the agent, called by the master.
      "decnet.v1.AgentService/ApplyDeckies",
      "decnet.v1.AgentService/ApplyDeckies",
      "apply on host",
      "attempt",
      // Served by the master, called by the client.
      "decnet.v1.MutationService/AddService",
      "decnet.v1.MutationService/AddService",
      "a person's change",
    ]);
    expect(command.attributes.get("process.command_args")).toContain(" up -d ");
    const attempt = await eventually(async () => find(root.traceId, "attempt"));
    expect(attempt?.attributes.get("decnet.operations")).toBe(operation?.id);
    expect(attempt?.attributes.get("decnet.host")).toBe("edge-1");
    const steps = receiver.spans.filter((span) => span.traceId === root.traceId && span.name.startsWith("step "));
    expect(steps.map(({ name }) => name.slice(5))).toEqual(operation?.steps.map(({ verb }) => verb));
    expect(receiver.spans.filter((span) => span.traceId === root.traceId && span.name === "commit resolution")).toHaveLength(2);
  });
});
