import { inspect } from "node:util";
import type { LogFields, Logger } from "@decnet/common/logging/logger";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deploy, inside, type TestMaster, useMaster } from "../support/use-master.ts";

const canary = "Canary-7f3a9c";

/** Everything that the master logs, on all levels. */
function listen(lines: string[]): Logger {
  const take = (message: string, fields?: LogFields) =>
    void lines.push(inspect({ message, ...fields }, { depth: 20, maxStringLength: null }));
  return { isDebug: true, debug: take, info: take, warn: take, error: take, child: () => listen(lines) };
}

describe("a secret that was set through the API", () => {
  let master: TestMaster;
  let decky: { name: string };
  const seen: string[] = [];
  const logged: string[] = [];

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster({ log: listen(logged) });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"] });
    const added = await master.mutations.addService({
      decky,
      service: "ssh",
      config: { password: canary, user_password: canary },
    });
    const saved = await master.mutations.updateServiceConfig({
      decky,
      service: "ssh",
      mode: 2,
      config: { password: `${canary}-2` },
    });
    const planned = await master.mutations.updateServiceConfig({ decky, service: "ssh", apply: true, options: { dryRun: true } });
    const applied = await master.mutations.updateServiceConfig({ decky, service: "ssh", apply: true });
    const failed: unknown = await master.mutations.addService({ decky, service: "silent" }).catch((error: unknown) => error);
    seen.push(...[added, saved, planned, applied].map((answer) => json(answer)), json(failed));
  });

  const json = (value: unknown) =>
    JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? String(inner) : inner));

  it("reaches its service", async () => {
    const login = await inside(decky.name, "sshpass", [
      "-p",
      `${canary}-2`,
      "ssh",
      "-o",
      "StrictHostKeyChecking=no",
      "-o",
      "UserKnownHostsFile=/dev/null",
      "root@127.0.0.1",
      "echo",
      "in",
    ]);
    expect(login.stdout).toBe("in");
  });

  it("is in no answer, no event, no operation and no revision (W-40)", async () => {
    const { operations } = await master.operations.listOperations({ pageSize: 1000 });
    for (const { id } of operations) seen.push(json(await master.operations.getOperation({ id })));
    seen.push(
      json(await master.fleet.getDecky({ decky })),
      json(await master.fleet.listRevisions({ decky })),
      json(await master.access.listAudit({})),
    );
    const stop = new AbortController();
    for await (const { item } of master.events.subscribe({ cursor: "0" }, { signal: stop.signal })) {
      seen.push(json(item));
      if (
        item.case === "event" &&
        item.value.topic.endsWith("service_config_changed") &&
        json(item.value).includes(String(operations[1]?.id))
      )
        break;
      if (item.case === "heartbeat" && item.value.cursor !== "0") break;
    }
    stop.abort();
    expect(seen.join("\n")).not.toContain(canary);
  });

  it("is in no line of the master's log, however much is logged", () => {
    expect(logged.length).toBeGreaterThan(0);
    expect(logged.join("\n")).not.toContain(canary);
  });

  it("is in no dump of the database", async () => {
    const socket = (
      await execa("sh", ["-c", `grep -ho '/run/decnet-[0-9a-f]*' ${master.config.dataDir}/postgres/data/postmaster.pid`])
    ).stdout;
    const dump = await execa("pg_dump", ["-h", socket, "-U", "decnet", "postgres"]);
    expect(dump.stdout).toContain("decky_revisions");
    expect(dump.stdout).not.toContain(canary);
  });

  it("is not in what the engine tells, not in the compose file, and in no process's arguments or environment", async () => {
    const ids = (await execa("docker", ["ps", "-aq", "--filter", `name=^/${master.prefix}`])).stdout.split("\n");
    expect((await execa("docker", ["inspect", ...ids])).stdout).not.toContain(canary);
    const project = `${master.config.dataDir}/deckies/${decky.name}`;
    expect((await execa("cat", [`${project}/compose.yaml`])).stdout).not.toContain(canary);
    const open = ["-type", "f", "-perm", "/077", "-not", "-path", "*/machine/*"];
    expect((await execa("find", [project, ...open])).stdout).toBe("");
    expect((await execa("ps", ["axeww", "-o", "args="])).stdout).not.toContain(canary);
    // The settings that were applied before are gone from the disk.
    expect(
      (await execa("grep", ["-rlx", canary, `${project}/secrets`], { reject: false })).stdout
        .split("\n")
        .filter((file) => file.endsWith("/password")),
    ).toEqual([]);
  });
});
