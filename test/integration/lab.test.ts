import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isAlive } from "../support/lab/processes.ts";
import { type Lab, type LabHost, useLab } from "../support/lab.ts";
import { dockerLines, eventually } from "../support/use-master.ts";

/** Connects, and prints the line that the other side says. */
const greet = 'exec 3<>"/dev/tcp/$0/$1"; read -r line <&3; echo "$line"';
/** The same, then waits for one more line on the same connection. */
const hold = `${greet}; read -r line <&3; echo "$line"`;

it("a process that becomes another program again and again is alive, until it has ended", async () => {
  const becomeAnother = 'if [ "$2" -gt 0 ]; then exec sh -c "$1" sh "$1" $(($2 - 1)); fi; echo enough; exec cat';
  const child = spawn("sh", ["-c", becomeAnother, "sh", becomeAnother, "400"], { stdio: ["pipe", "pipe", "ignore"] });
  let isEnough = false;
  child.stdout.once("data", () => (isEnough = true));
  const seen = new Set<boolean>();
  while (!isEnough) seen.add(await isAlive(child.pid ?? 0));
  expect([...seen]).toEqual([true]);
  child.stdin.end();
  await once(child, "exit");
  expect(await isAlive(child.pid ?? 0)).toBe(false);
});

describe("a lab", () => {
  let lab: Lab;
  let one: LabHost;
  let two: LabHost;
  let folder: string;
  let server: Server;
  let port: string;
  const sockets: Socket[] = [];
  /** Argument by which the process list shows this test's containers. */
  const seconds = String(randomInt(1_000_000, 9_999_999));

  beforeAll(async () => {
    lab = await useLab({ hosts: 2, images: [debianBase] });
    [one, two] = [lab.hosts[0]!, lab.hosts[1]!];
    folder = dirname(dirname(one.stateDir));
    server = createServer((socket) => {
      sockets.push(socket.on("error", () => socket.destroy()));
      socket.write("welcome\n");
    });
    server.listen(0, lab.masterAddress);
    await once(server, "listening");
    const address = server.address();
    port = typeof address === "object" && address !== null ? String(address.port) : "";
    for (const host of lab.hosts) {
      for (const policy of ["unless-stopped", "always"])
        await host.docker(["run", "-d", "--init", "--restart", policy, "--name", policy, debianBase, "sleep", seconds]);
    }
  });

  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    server?.close();
    await lab?.dispose();
  });

  /** What a look at the machine shows of this lab. */
  async function traces() {
    const lines = async (file: string, args: string[]) => (await execa(file, args)).stdout.split("\n");
    const name = one.name.slice(0, -"h1".length);
    const mounts = (await readFile("/proc/mounts", "utf8")).split("\n");
    const processes = await lines("ps", ["-eo", "pid,args"]);
    return {
      namespaces: (await lines("ip", ["netns", "list"])).filter((line) => line.startsWith(name)),
      links: (await lines("ip", ["-br", "link"])).filter((line) => line.startsWith(name)),
      mounts: mounts.filter((line) => line.includes(`${folder}/`) || line.includes(`/run/netns/${name}`)),
      engines: processes.filter((line) => line.includes(`${folder}/`)),
      containers: processes.filter((line) => line.includes(`sleep ${seconds}`)),
      files: (await lines("ls", ["-d", dirname(folder), folder]).catch(() => [])).filter((line) => line === folder),
    };
  }

  const reach = (from: LabHost) =>
    from.run("bash", ["-c", greet, lab.masterAddress, port], { timeout: 3_000, reject: false }).then((result) => result.stdout);

  it("gives each host an engine and a name of its own", async () => {
    const engines: string[] = [];
    for (const host of lab.hosts) {
      expect(await host.docker(["info", "--format", "{{.Name}} {{.Driver}}"])).toEqual([`${host.name} overlay2`]);
      expect((await host.run("hostname", [])).stdout).toBe(host.name);
      expect((await host.run("docker", ["ps", "--format", "{{.Names}}"])).stdout).toBe("always\nunless-stopped");
      engines.push(...(await host.docker(["info", "--format", "{{.ID}}"])));
      engines.push(...(await host.docker(["ps", "-q", "--no-trunc"])));
    }
    expect(new Set(engines).size).toBe(6);
    const shared = await dockerLines(["ps", "-aq", "--no-trunc"]);
    expect(engines.filter((id) => shared.includes(id))).toEqual([]);
  });

  it("loses everything of a host that is cut off, silently, and nothing of the others", async () => {
    expect(await reach(one)).toBe("welcome");
    const session = one.spawn("bash", ["-c", hold, lab.masterAddress, port]);
    const said: string[] = [];
    createInterface({ input: session.stdout }).on("line", (line) => said.push(line));
    await eventually(async () => said.includes("welcome"));
    const held = sockets.at(-1)!;

    await one.cut();
    held.write("are you there\n");
    expect(await reach(one)).toBe("");
    expect(await reach(two)).toBe("welcome");
    expect({ said, open: session.exitCode === null && !held.destroyed }).toEqual({ said: ["welcome"], open: true });

    await one.heal();
    expect(await reach(one)).toBe("welcome");
    await eventually(async () => said.includes("are you there"));
  });

  it("lets hosts reach each other", async () => {
    const program = "require('net').createServer((s) => s.end('neighbour\\n')).listen(9000, () => console.log('up'))";
    const listener = two.spawn("node", ["-e", program]);
    await once(createInterface({ input: listener.stdout }), "line");
    const { stdout } = await one.run("bash", ["-c", greet, two.address, "9000"]);
    expect(stdout).toBe("neighbour");
  });

  // An engine that was killed takes its `unless-stopped` containers down when it starts, and holds them for stopped by hand.
  it.each([
    ["SIGTERM", "unless-stopped"],
    ["SIGKILL", "always"],
  ] as const)("restarts an engine by %s, and its %s container comes back", async (how, container) => {
    const format = "{{.Id}} {{.State.StartedAt}} {{.State.Running}}";
    const look = () => two.docker(["inspect", "--format", format, container]);
    const other = await one.docker(["inspect", "--format", format, container]);
    const [before = ""] = await look();
    await two.restartEngine(how);
    const after = await eventually(async () => (await look()).find((line) => line !== before && line.endsWith(" true")));
    expect(after.split(" ")[0]).toBe(before.split(" ")[0]);
    expect(await one.docker(["inspect", "--format", format, container])).toEqual(other);
  });

  it("leaves nothing, even when an engine was killed and programs still run", async () => {
    const program = one.spawn("sleep", [seconds]);
    process.kill(Number(await readFile(`${dirname(two.stateDir)}/docker.pid`, "utf8")), "SIGKILL");
    for (const [what, found] of Object.entries(await traces())) expect(found, what).not.toEqual([]);
    await lab.dispose();
    expect(await traces()).toEqual({ namespaces: [], links: [], mounts: [], engines: [], containers: [], files: [] });
    expect(program.signalCode).toBe("SIGTERM");
  });
});
