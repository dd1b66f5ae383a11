import { once } from "node:events";
import net from "node:net";
import { createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RecordedLine, recordLog } from "../support/record-log.ts";
import { startDaemon } from "../support/use-daemon.ts";
import { configFor, deploy, eventually, type TestMaster, useMaster, usePlace } from "../support/use-master.ts";

describe("the log of a master", () => {
  const { log, lines } = recordLog();
  let master: TestMaster;
  let decky: { name: string };

  beforeAll(async () => {
    master = await useMaster({ log });
    decky = { name: `${master.prefix}-web` };
    await deploy(master, { web: ["redis"] });
  });
  afterAll(() => master.dispose());

  const said = (message: string, fields: Record<string, unknown>) =>
    lines.find((line) => line.level === "info" && line.message === message && matches(line, fields));
  const matches = (line: RecordedLine, fields: Record<string, unknown>) =>
    Object.entries(fields).every(([name, value]) => line.fields[name] === value);

  it("has a line for each change, with who and what, and one for its end", async () => {
    const { operation } = await master.mutations.addService({ decky, service: "http", options: { reason: "for the night" } });
    const about = { operation: operation?.id, kind: "add_service", decky: decky.name, service: "http", host: "local" };
    expect(said("a change was accepted", { ...about, actor: "admin", why: "for the night" })).toBeDefined();
    expect(said("a change ended", { ...about, state: "succeeded" })?.fields["tookMs"]).toBeGreaterThan(0);
  });

  it("has both of a change of many deckies and of each of its parts", () => {
    const fleet = said("a change was accepted", { kind: "apply_fleet" })?.fields["operation"];
    expect(said("a change was accepted", { kind: "deploy_decky", parent: fleet, decky: decky.name })).toBeDefined();
    expect(said("a change ended", { operation: fleet, state: "succeeded" })).toBeDefined();
  });

  it("has a line for a repair that nobody asked for", async () => {
    await execa("docker", ["rm", "-f", `${decky.name}-redis`]);
    const repair = await eventually(async () => said("a change was accepted", { kind: "repair", decky: decky.name }));
    await eventually(async () => said("a change ended", { operation: repair.fields["operation"], state: "succeeded" }));
  });

  it("has a line for each refusal, with its reason and the caller", async () => {
    await expect(master.mutations.removeService({ decky, service: "ftp" })).rejects.toThrow();
    const method = "decnet.v1.MutationService/RemoveService";
    expect(said("a call was refused", { method, reason: "SERVICE_NOT_PRESENT", caller: "admin" })).toBeDefined();
    const stranger = createClientTransport({ address: `http://127.0.0.1:${master.port}`, token: "dk_nobody" });
    await expect(createClient(FleetService, stranger.transport).listDeckies({})).rejects.toThrow();
    stranger.close();
    expect(said("a call was refused", { reason: "UNAUTHENTICATED", address: "127.0.0.1" })).toBeDefined();
  });

  it("has no line for what was only read or planned, and no setting of a service", async () => {
    const before = lines.filter((line) => line.level !== "debug").length;
    await master.fleet.listDeckies({});
    await master.mutations.addService({ decky, service: "ssh", config: { password: "hidden-word" }, options: { dryRun: true } });
    expect(lines.filter((line) => line.level !== "debug")).toHaveLength(before);
    await master.mutations.addService({ decky, service: "ssh", config: { password: "hidden-word" } });
    expect(JSON.stringify(lines)).not.toContain("hidden-word");
  });
});

describe("the log of a daemon while its engine is away", () => {
  it("says it once, in a short line without a stack, and not at each attempt", async () => {
    const place = await usePlace();
    const { composePath } = configFor(place);
    let attempts = 0;
    const noEngine = net.createServer((socket) => {
      attempts += 1;
      socket.destroy();
    });
    const socketPath = `${place.dataDir}/none.sock`;
    await once(noEngine.listen(socketPath), "listening");
    const master = startDaemon("master", [], {
      DECNET_DATA_DIR: place.dataDir,
      DECNET_PORT: "0",
      DECNET_DRIFT_INTERVAL_MS: "100",
      DECNET_DOCKER_SOCKET: socketPath,
      ...(composePath === undefined ? {} : { DECNET_COMPOSE: composePath }),
    });
    try {
      await master.said("the host does not answer");
      const before = attempts;
      await eventually(async () => attempts > before + 10);
      const said = master.log.filter((line) => line["msg"] === "the host does not answer");
      expect(said).toHaveLength(1);
      expect(JSON.stringify(said[0]).length).toBeLessThan(600);
      expect(JSON.stringify(master.log)).not.toContain(" at ");
      expect(master.noise).toEqual([]);
    } finally {
      await master.stop();
      noEngine.close();
      await place.dispose();
    }
  });
});
