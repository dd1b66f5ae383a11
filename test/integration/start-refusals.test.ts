import { once } from "node:events";
import net from "node:net";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { configFor, type Place, usePlace } from "../support/use-master.ts";

const program = (name: string) => fileURLToPath(new URL(`../../packages/${name}/src/main.ts`, import.meta.url));

describe("a daemon that cannot start says why and what to do next", () => {
  let place: Place;
  beforeEach(async () => {
    place = await usePlace();
  });
  afterEach(() => place.dispose());

  const run = (file: string, args: string[], env: Record<string, string>) =>
    execa(process.execPath, ["--import", "tsx", "--conditions=source", file, ...args], {
      env: { DECNET_DATA_DIR: place.dataDir, DECNET_AGENT_DIR: place.dataDir, DECNET_LOG_LEVEL: "error", ...env },
      reject: false,
      stdin: "ignore",
      timeout: 60_000,
    });

  it("for a mistyped setting: every one of them by name, before anything is begun", async () => {
    const env = { DECNET_PORT: "http", DECNET_PARALLEL: "0" };
    const master = await run(program("master"), [], env);
    expect(master.exitCode).toBe(1);
    const said = JSON.parse(master.stderr) as { reason: string; why: string; next: string[] };
    expect(said.reason).toBe("SETTINGS_INVALID");
    expect(said.why).toMatch(/DECNET_PARALLEL: .*; DECNET_PORT: /);
    expect(said.next).toEqual(["Correct the named variables and start again."]);
    const agent = await run(program("agent"), ["run"], { DECNET_AGENT_PORT: "70000" });
    expect(agent.exitCode).toBe(2);
    expect(agent.stderr).toContain("error: SETTINGS_INVALID  bad settings: DECNET_AGENT_PORT: ");
  });

  it("for a port that another program has", async () => {
    const other = net.createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as net.AddressInfo;
    try {
      const { dockerSocket } = configFor(place);
      const master = await run(program("master"), [], { DECNET_PORT: String(port), DECNET_DOCKER_SOCKET: dockerSocket });
      const said = JSON.parse(master.stderr) as { reason: string; why: string; next: string[] };
      expect([master.exitCode, said.reason]).toEqual([1, "ADDRESS_UNUSABLE"]);
      expect(said.why).toContain(`127.0.0.1:${port}`);
      expect(said.next[0]).toBe("Who has it: ss -ltnp");
    } finally {
      other.close();
    }
  });
});
