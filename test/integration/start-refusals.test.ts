import { once } from "node:events";
import { readdir } from "node:fs/promises";
import net from "node:net";
import { lockFolder } from "@decnet/common/runtime/folder-lock";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ownProgram } from "../support/programs.ts";
import { configFor, type Place, usePlace } from "../support/use-master.ts";

describe("a daemon that cannot start says why and what to do next", () => {
  let place: Place;
  beforeEach(async () => {
    place = await usePlace();
  });
  afterEach(() => place.dispose());

  const run = (name: "master" | "agent", args: string[], env: Record<string, string>) =>
    execa(process.execPath, [...ownProgram(name), ...args], {
      env: { DECNET_DATA_DIR: place.dataDir, DECNET_AGENT_DIR: place.dataDir, DECNET_LOG_LEVEL: "error", ...env },
      reject: false,
      stdin: "ignore",
      timeout: 60_000,
    });

  it("for a mistyped setting: every one of them by name, before anything is begun", async () => {
    const env = { DECNET_PORT: "http", DECNET_PARALLEL: "0" };
    const master = await run("master", [], env);
    expect(master.exitCode).toBe(2);
    const said = JSON.parse(master.stderr) as { reason: string; why: string; next: string[] };
    expect(said.reason).toBe("SETTINGS_INVALID");
    expect(said.why).toMatch(/DECNET_PARALLEL: .*; DECNET_PORT: /);
    expect(said.next).toEqual(["Correct the named variables and start again."]);
    const agent = await run("agent", ["run"], { DECNET_AGENT_PORT: "70000" });
    expect(agent.exitCode).toBe(2);
    expect(agent.stderr).toContain("error: SETTINGS_INVALID  bad settings: DECNET_AGENT_PORT: ");
  });

  it("for a folder that another process has: who, and how to go on", async () => {
    const lock = await lockFolder(place.dataDir, "decnet master", 0o711);
    try {
      const master = await run("master", [], {});
      const said = JSON.parse(master.stderr) as { reason: string; why: string; next: string[] };
      expect([master.exitCode, said.reason]).toEqual([6, "DATA_FOLDER_IN_USE"]);
      expect(said.why).toContain(`${place.dataDir} is in use by decnet master, process ${process.pid} on `);
      expect(said.next).toEqual([expect.stringContaining(`Stop process ${process.pid} on `)]);
      const agent = await run("agent", ["join", "dk1.x"], {});
      expect(agent.exitCode).toBe(6);
      expect(agent.stderr).toMatch(/error: DATA_FOLDER_IN_USE .*\n next: {2}Stop process/);
      const files = await readdir(place.dataDir);
      expect(files.map((name) => name.replace(/[0-9a-f-]{36}/, "ID")).sort()).toEqual(["daemon.lock", "daemon.lock.ID.alive"]);
    } finally {
      await lock.release();
    }
  });

  it("for a word that is no command: nothing is started", async () => {
    for (const args of [["nonsense"], ["--nonsense"], ["run", "now"], ["run", "--port=1"]]) {
      const agent = await run("agent", args, {});
      expect([args, agent.exitCode]).toEqual([args, 2]);
    }
    expect((await run("agent", ["--version"], {})).stdout).toMatch(/^\d+\.\d+\.\d+$/);
    expect((await run("agent", ["--help"], {})).exitCode).toBe(0);
    expect(await readdir(place.dataDir)).toEqual([]);
  });

  it("for a port that another program has", async () => {
    const other = net.createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as net.AddressInfo;
    try {
      const { dockerSocket } = configFor(place);
      const master = await run("master", [], { DECNET_PORT: String(port), DECNET_DOCKER_SOCKET: dockerSocket });
      const said = JSON.parse(master.stderr) as { reason: string; why: string; next: string[] };
      expect([master.exitCode, said.reason]).toEqual([6, "ADDRESS_UNUSABLE"]);
      expect(said.why).toContain(`127.0.0.1:${port}`);
      expect(said.next[0]).toBe("Who has it: ss -ltnp");
    } finally {
      other.close();
    }
  });
});
