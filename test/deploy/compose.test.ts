import { execa } from "execa";
import { afterAll, beforeAll, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type Deployment, useDeployment } from "../support/use-deployment.ts";

/** deploy/compose.yaml and deploy/compose.agent.yaml as docs/production.md has them, on images of this checkout. */
let deployed: Deployment;
const masters = ["master-1", "master-2"] as const;
const everything = ["postgres", "kafka", ...masters];
let decky = "";
let token = "";

const decnet = (master: (typeof masters)[number], args: readonly string[], input?: string) =>
  deployed.controlPlane.run(["exec", "-T", master, "decnet", ...args], input);
const inspect = async (id: string, format: string) => {
  const { stdout } = await execa("docker", ["inspect", "--format", format, id]);
  return stdout.trim();
};
const containersOf = async () => {
  const { stdout } = await execa("docker", ["ps", "--no-trunc", "--format", "{{.Names}} {{.ID}}", "--filter", `name=^${decky}`]);
  return stdout.split("\n").sort();
};
const ping = async (service: string) => {
  const { stdout } = await execa("docker", ["exec", `${decky}-${service}`, "redis-cli", "ping"]);
  return stdout;
};
const told = async (kind: string) =>
  (await deployed.read("decnet.decky")).filter((line) => line.startsWith(`${decky} `) && line.includes(kind));

beforeAll(async () => {
  deployed = await useDeployment();
  decky = `${deployed.prefix}-web`;
  await deployed.controlPlane.run(["up", "-d", "--wait"]);
});
afterAll(async () => {
  await decnet("master-2", ["fleet", "teardown", "--accept", "teardown=fleet", "--reason", "the end"]).catch(() => undefined);
  await deployed?.dispose();
});

it("comes up healthy, with nobody's powers and nothing to write to but its volumes", async () => {
  for (const service of everything) {
    const id = await deployed.controlPlane.idOf(service);
    expect(await inspect(id, "{{.State.Health.Status}}"), service).toBe("healthy");
    expect(await inspect(id, "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Privileged}}"), service).toBe("true false");
    const { stdout } = await execa("docker", ["exec", id, "cat", "/proc/1/status"]);
    expect(stdout, service).toMatch(/^Uid:\t[1-9]\d*\t/m);
    expect(stdout, service).toMatch(/^CapBnd:\t0+$/m);
    expect(stdout, service).toMatch(/^NoNewPrivs:\t1$/m);
  }
});

it("a token that one master makes is good at the other", async () => {
  token = (await decnet("master-1", ["token", "create", "maria", "--role", "operator"])).trim();
  expect(token).toMatch(/^decnet_/);
  const hosts = await decnet("master-2", ["--token", token, "host", "list", "-o", "name"]);
  expect(hosts.split("\n").filter((line) => line !== "")).toEqual(expect.arrayContaining(["master-1", "master-2"]));
});

it("a worker in a container joins by TLS, and a decoy that is deployed through it answers", async () => {
  const secret = (await decnet("master-1", ["host", "invite", "--name", "edge-1", "--no-wait", "-o", "name"])).trim();
  await deployed.agent.run(["run", "--rm", "-T", "agent", "join", secret]);
  await deployed.agent.run(["up", "-d", "--wait"]);
  const fleet = {
    lan: { name: `${deployed.prefix}-lan`, subnet: deployed.lan },
    deckies: [{ name: decky, placement: { host: "edge-1" }, services: [{ slug: "redis" }] }],
  };
  await decnet("master-2", ["fleet", "apply", "-y", "-f", "-", "--reason", "first"], JSON.stringify(fleet));
  expect(await decnet("master-1", ["decky", "list"])).toMatch(new RegExp(`^${decky} +running +edge-1 `, "m"));
  expect(await ping("redis")).toBe("PONG");
});

it("what was done is told on Kafka, under the decky's key", async () => {
  await eventually(async () => (await told("ce_type=decnet.decky.lifecycle.v1")).length > 0);
});

it("a backup is made without a stop", async () => {
  const file = "/var/lib/decnet/master/now.backup";
  const passphrase = ["-e", "DECNET_BACKUP_PASSPHRASE=correct horse battery staple"];
  await deployed.controlPlane.run(["exec", "-T", ...passphrase, "master-1", "decnet", "backup", file]);
  expect(Number(await deployed.controlPlane.run(["exec", "-T", "master-1", "stat", "-c", "%s", file]))).toBeGreaterThan(1_000);
});

it("when the worker's master is killed, the other one changes its deckies", async () => {
  const before = await containersOf();
  await deployed.controlPlane.run(["kill", "master-1"]);
  const killedAt = Date.now();
  await decnet("master-2", ["--token", token, "service", "add", decky, "http", "--reason", "the other one"]);
  expect(Date.now() - killedAt).toBeLessThan(30_000);
  expect(await containersOf()).toEqual(expect.arrayContaining(before));
  await deployed.controlPlane.run(["up", "-d", "--wait"]);
});

it("all is there after everything was stopped and started again", async () => {
  const [before, events] = [await containersOf(), await deployed.read("decnet.decky")];
  expect(before).toHaveLength(3);
  await deployed.agent.run(["stop"]);
  await deployed.controlPlane.run(["down"]);
  await deployed.controlPlane.run(["up", "-d", "--wait"]);
  await deployed.agent.run(["start"]);
  await eventually(async () => {
    const list = await decnet("master-1", ["--token", token, "decky", "list"]);
    return new RegExp(`^${decky} +running +edge-1 `, "m").test(list);
  }, 60_000);
  expect(await containersOf()).toEqual(before);
  expect(await deployed.read("decnet.decky")).toEqual(expect.arrayContaining(events));
  await decnet("master-2", ["--token", token, "service", "remove", decky, "http", "-y", "--reason", "still works"]);
  expect(await ping("redis")).toBe("PONG");
});
