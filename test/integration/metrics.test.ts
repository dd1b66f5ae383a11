import { readFile } from "node:fs/promises";
import https from "node:https";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Role } from "@decnet/contract/gen/decnet/v1/access_pb";
import { OperationState, Wait } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MemorySwarm, useMemorySwarm } from "../support/memory-swarm.ts";
import { type Family, parsePrometheusText } from "../support/prometheus-text.ts";
import { joinScriptedWorker, type ScriptedWorker } from "../support/scripted-worker.ts";
import { eventually } from "../support/use-master.ts";

const file = (path: string) => readFile(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8");

/** A real master and a real agent on engines in memory. */
describe("the figures of master and agent", () => {
  let swarm: MemorySwarm;
  let worker: ScriptedWorker;

  beforeAll(async () => {
    swarm = await useMemorySwarm();
    const { master } = swarm;
    worker = await joinScriptedWorker({ ...swarm, name: "edge-1" });
    for (const name of ["a", "b"]) worker.engine.watch(name);
    const placement = { where: { case: "host", value: "edge-1" } } as const;
    const deckies = ["a", "b"].map((name) => ({ name, services: [{ slug: "redis" }], placement }));
    await master.fleet.applyFleet({ fleet: { lan: master.lan, deckies } });
    const { operation } = await master.mutations.addService({ decky: { name: "a" }, service: "http" });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    await expect(master.mutations.removeService({ decky: { name: "a" }, service: "ftp" })).rejects.toThrow();
  });
  afterAll(async () => {
    await worker?.stop();
    await swarm?.master.dispose();
  });

  const read = async (port: number) => parsePrometheusText(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text());
  const ofMaster = () => read(swarm.master.port);
  const ofAgent = () => read(worker.port());
  const figureOf = (families: ReadonlyMap<string, Family>, name: string, labels: Readonly<Record<string, string>> = {}) => {
    const family = [...families.values()].find(({ samples }) => samples.some((sample) => sample.name === name));
    return family?.samples.find(
      (sample) => sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels.get(label) === value),
    )?.value;
  };

  it("say how many deckies are in which state, on which host", async () => {
    await eventually(async () => figureOf(await ofMaster(), "decnet_deckies", { host: "edge-1", state: "running" }) === 2);
  });

  it("count operations by kind and result, and measure how long they took", async () => {
    const figures = await ofMaster();
    expect(figureOf(figures, "decnet_operations_total", { kind: "add_service", result: "succeeded" })).toBe(1);
    expect(figureOf(figures, "decnet_operations_total", { kind: "deploy_decky", result: "succeeded" })).toBe(2);
    expect(figureOf(figures, "decnet_operations_total", { kind: "apply_fleet", result: "succeeded" })).toBe(1);
    expect(figureOf(figures, "decnet_operation_duration_seconds_count", { kind: "add_service" })).toBe(1);
    expect(figureOf(figures, "decnet_apply_duration_seconds_count", { result: "applied" })).toBe(3);
    const refused = { method: "decnet.v1.MutationService/RemoveService", code: "FailedPrecondition" };
    expect(figureOf(figures, "decnet_rpc_duration_seconds_count", refused)).toBe(1);
  });

  it("say what waits and since when, while a host is away", async () => {
    await worker.cut();
    const { operation } = await swarm.master.mutations.addService({
      decky: { name: "b" },
      service: "http",
      options: { wait: Wait.ACCEPTED },
    });
    expect(operation?.state).toBe(OperationState.PENDING);
    const figures = await eventually(async () => {
      const now = await ofMaster();
      return figureOf(now, "decnet_operations_open", { kind: "add_service", state: "pending" }) === 1 ? now : undefined;
    });
    expect(figureOf(figures, "decnet_operations_oldest_seconds", { kind: "add_service" })).toBeGreaterThanOrEqual(0);
    expect(figureOf(figures, "decnet_hosts", { state: "unreachable" })).toBe(1);
    expect(figureOf(figures, "decnet_hosts", { state: "connected" })).toBe(0);
    expect(figureOf(await ofAgent(), "decnet_agent_connected")).toBe(0);
    expect(await worker.heal()).toBe(true);
  });

  it("say of hosts, certificates and parts what an alert needs", async () => {
    const figures = await eventually(async () => {
      const now = await ofMaster();
      return figureOf(now, "decnet_hosts", { state: "connected" }) === 1 ? now : undefined;
    });
    expect(figureOf(figures, "decnet_ready", { part: "database" })).toBe(1);
    expect(figureOf(figures, "decnet_certificate_days_left", { of: "authority" })).toBeGreaterThan(3_000);
    expect(figureOf(figures, "decnet_certificate_days_left", { of: "tls-port" })).toBeGreaterThan(80);
    expect(figureOf(figures, "decnet_certificate_days_left", { of: "connected-agents" })).toBeGreaterThan(0.9);
    const agent = await ofAgent();
    expect(figureOf(agent, "decnet_agent_connected")).toBe(1);
    expect(figureOf(agent, "decnet_agent_deckies")).toBe(2);
    expect(figureOf(agent, "decnet_certificate_days_left", { of: "agent" })).toBeGreaterThan(0.9);
    expect(figureOf(agent, "decnet_apply_duration_seconds_count", { result: "applied" })).toBeGreaterThanOrEqual(3);
  });

  it("are named as docs/metrics.md says, each with its labels and no other", async () => {
    const docs = await file("docs/metrics.md");
    const [, master = "", agent = ""] = docs.split(/^## Of .*$/m);
    for (const [part, figures] of [
      [master, await ofMaster()],
      [agent, await ofAgent()],
    ] as const) {
      const rows = [...part.matchAll(/^\| `(decnet_\w+)` \|([^|]*)\|/gm)];
      const documented = new Map(rows.map(([, name = "", labels = ""]) => [name, (labels.match(/\w+/g) ?? []).sort()]));
      const shown = [...figures.values()].filter(({ name }) => name.startsWith("decnet_"));
      expect(shown.map(({ name }) => name).sort()).toEqual([...documented.keys()].sort());
      for (const { name, samples } of shown)
        for (const { labels } of samples)
          expect([name, [...labels.keys()].filter((each) => each !== "le").sort()]).toEqual([name, documented.get(name)]);
      for (const { name, type } of shown) {
        expect(`${name} ${name.endsWith("_total")}`).toBe(`${name} ${type === "counter"}`);
        expect(`${name} ${name.endsWith("_duration_seconds")}`).toBe(`${name} ${type === "histogram"}`);
      }
    }
  });

  describe("on the TLS port", () => {
    const get = async (path: string, token?: string) => {
      const ca = await readFile(join(swarm.master.config.dataDir, "pki", "ca.pem"));
      return new Promise<{ status: number; text: string }>((resolve, reject) => {
        const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
        const options = { ca, port: swarm.master.tlsPort, host: "127.0.0.1", path, headers, agent: false };
        const request = https.get(options, (response) => {
          let text = "";
          response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
          response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
        });
        request.on("error", reject);
      });
    };

    it("are for whoever has a token, also the least one", async () => {
      const { secret, token } = await swarm.master.access.createToken({ name: "prometheus", role: Role.VIEWER });
      const { status, text } = await get("/metrics", secret);
      expect(status).toBe(200);
      expect(parsePrometheusText(text).has("decnet_deckies")).toBe(true);
      await swarm.master.access.revokeToken({ id: token?.id ?? "" });
      expect((await get("/metrics", secret)).status).toBe(401);
    });

    it("are for nobody else", async () => {
      expect((await get("/metrics")).status).toBe(401);
      expect((await get("/metrics", "dk_nobody")).text).not.toContain("decnet_build_info");
      expect((await get("/healthz")).status).toBe(200);
    });
  });
});
