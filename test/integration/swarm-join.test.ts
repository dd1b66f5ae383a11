import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createKeyAndCsr } from "@decnet/common/pki/certificates";
import { formatJoinToken, parseJoinToken } from "@decnet/common/pki/join-token";
import { protocolVersion } from "@decnet/common/protocol-version";
import { createClientTransport } from "@decnet/common/rpc/client";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { AgentFactsSchema, EnrollmentService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { HostState, type JoinToken } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog, testCatalog } from "../support/catalogs.ts";
import { newAuthority } from "../support/certificates.ts";
import type { LongRunningProgram } from "../support/lab/inside.ts";
import { ownProgram } from "../support/programs.ts";
import { startRogueMaster } from "../support/rogue-master.ts";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm, type Worker } from "../support/use-swarm.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Short enough to see many renewals, long enough for a busy machine. */
const certificateSeconds = 20;

const workerPackages = ["agent", "common", "contract", "engine"];

/**
 * What a worker needs of a checkout, at another place: the master's packages are not there (W-57). Returns that place.
 */
async function copyForWorker(to: string): Promise<string> {
  for (const name of workerPackages) await cp(join(root, "packages", name), join(to, "packages", name), { recursive: true });
  await cp(join(root, "catalog"), join(to, "catalog"), { recursive: true });
  await mkdir(join(to, "node_modules", "@decnet"), { recursive: true });
  for (const name of await readdir(join(root, "node_modules")))
    if (name !== "@decnet") await symlink(join(root, "node_modules", name), join(to, "node_modules", name));
  for (const name of workerPackages) await symlink(join(to, "packages", name), join(to, "node_modules", "@decnet", name));
  return to;
}

describe("a machine becomes a worker", () => {
  let swarm: Swarm;
  let folder: string;
  let decky: { name: string };
  let dying: { secret: string; token?: JoinToken | undefined };
  const cleanups: (() => unknown)[] = [];
  let node: string[];
  const agents = new Map<Worker, LongRunningProgram>();

  beforeAll(async () => {
    swarm = await useSwarm({
      hosts: 2,
      slugs: ["redis", "http"],
      join: false,
      env: { DECNET_AGENT_CERTIFICATE_SECONDS: String(certificateSeconds) },
    });
    folder = await mkdtemp(join(tmpdir(), "decnet-join-"));
    node = ownProgram("agent", await copyForWorker(join(folder, "checkout")));
    decky = { name: `${swarm.master.prefix}-a` };
    dying = await swarm.master.swarm.createJoinToken({ hostName: "dying", ttl: { seconds: 10n } });
  });

  afterAll(async () => {
    for (const agent of agents.values()) agent.kill("SIGKILL");
    for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) await cleanup();
    await swarm?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  function worker(index: number): Worker {
    const found = swarm.workers[index];
    if (found === undefined) throw new Error(`no worker ${index}`);
    return found;
  }

  const envOf = ({ host }: Worker, more: Record<string, string> = {}) => ({
    DECNET_AGENT_DIR: host.stateDir,
    DECNET_AGENT_PORT: "7441",
    DECNET_DOCKER_SOCKET: host.socket,
    DECNET_CATALOGUE: testCatalog,
    DECNET_LOG_LEVEL: "error",
    DECNET_DRIFT_INTERVAL_MS: "1000",
    ...more,
  });

  /** `decnet agent …` on a host, to its end. */
  async function agent(on: Worker, args: string[], more: Record<string, string> = {}) {
    const options = { env: envOf(on, more), timeout: 60_000, reject: false };
    const { exitCode, stdout, stderr } = await on.host.run(process.execPath, [...node, ...args], options);
    return { exitCode, stdout: String(stdout), stderr: String(stderr) };
  }

  /** `decnet agent …` on a host, for as long as it runs. */
  function start(on: Worker, args: string[]): LongRunningProgram {
    const program = on.host.spawn(process.execPath, [...node, ...args], envOf(on));
    agents.set(on, program);
    return program;
  }

  async function stop(on: Worker): Promise<void> {
    const program = agents.get(on);
    agents.delete(on);
    if (program === undefined || program.exitCode !== null) return;
    const exit = new Promise<void>((resolve) => program.once("exit", () => resolve()));
    program.kill("SIGTERM");
    await exit;
  }

  const invite = async (hostName: string, more: { masters?: string[] } = {}) =>
    (await swarm.master.swarm.createJoinToken({ hostName, ...more })).secret;
  const hostOf = async (name: string) => (await swarm.master.swarm.getHost({ name }).catch(() => undefined))?.host;
  const connected = (name: string) => eventually(async () => (await hostOf(name))?.state === HostState.CONNECTED, 60_000);
  const newestRefusal = async () => (await swarm.master.swarm.listRefusedJoins({ pageSize: 1 })).refused[0];

  it("with one command there and one here, and its first decky answers", async () => {
    const { master } = swarm;
    const token = await invite("edge-1");
    start(worker(0), ["join", token, "--run"]);
    await connected("edge-1");
    const { operation } = await master.fleet.applyFleet({
      fleet: {
        lan: master.lan,
        deckies: [{ name: decky.name, services: [{ slug: "redis" }], placement: { where: { case: "host", value: "edge-1" } } }],
      },
    });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    const [pid = ""] = await worker(0).host.docker(["inspect", "--format", "{{.State.Pid}}", decky.name]);
    const ping = "exec 3<>/dev/tcp/127.0.0.1/6379; printf 'PING\\r\\n' >&3; head -n 1 <&3";
    const { stdout } = await worker(0).host.run("nsenter", ["-t", pid, "-n", "bash", "-c", ping]);
    expect(String(stdout).trim()).toMatch(/^(\+PONG|-NOAUTH)/);
    const host = await hostOf("edge-1");
    expect(host?.address).toBe(worker(0).host.address);
    expect(host?.facts?.machineName).toBe(worker(0).host.name);
  });

  it("its key is nowhere on the master, and only its root reads its files (W-44)", async () => {
    const { stateDir } = worker(0).host;
    const { keyFile } = JSON.parse(await readFile(join(stateDir, "identity.json"), "utf8")) as { keyFile: string };
    const key = await readFile(join(stateDir, keyFile), "utf8");
    const body = key.split("\n")[1] ?? "";
    expect(body.length).toBeGreaterThan(40);
    const found = await execa("grep", ["-rlF", "--", body, swarm.master.config.dataDir], { reject: false });
    expect([found.exitCode, found.stdout]).toEqual([1, ""]);
    const { stdout } = await execa("find", [stateDir, "-printf", "%y %m %P\n"]);
    const open = stdout
      .split("\n")
      .filter((line) => !/^(f (600|400)|s 600|d 700) /.test(line))
      // What decoys read lies behind a folder that only root enters.
      .filter((line) => !/ deckies\/[^/]+\/(secrets|machine)/.test(line));
    expect(open).toEqual([]);
  });

  describe("or is told why not", () => {
    const local: [reason: string, exit: number, token: () => Promise<string>, env: Record<string, string>, says: RegExp][] = [
      ["TOKEN_INVALID", 5, async () => "dk1.nonsense", {}, /part of it is missing|not a join token/],
      [
        "CA_MISMATCH",
        5,
        async () => {
          const { hash } = await newAuthority();
          return formatJoinToken({ ...parseJoinToken(await invite("edge-2")), caHash: hash });
        },
        {},
        /not the one that the token names/,
      ],
      ["MASTER_UNREACHABLE", 6, () => invite("edge-2", { masters: [`${swarm.lab.masterAddress}:1`] }), {}, /:1: .*ECONNREFUSED/],
      ["ENGINE_UNUSABLE", 4, () => invite("edge-2"), { DECNET_DOCKER_SOCKET: "/run/no-such.sock" }, /no Docker engine answers/],
      ["ENGINE_UNUSABLE", 4, () => invite("edge-2"), { DECNET_COMPOSE: "/bin/false" }, /docker compose/],
    ];

    it.each(local)("%s (%i), before anything of it leaves the machine", async (reason, exit, token, env, says) => {
      const before = (await swarm.master.swarm.listRefusedJoins({})).refused.length;
      const { exitCode, stderr } = await agent(worker(1), ["join", await token()], env);
      expect([exitCode, stderr]).toEqual([exit, expect.stringContaining(`error: ${reason}`)]);
      expect(stderr).toMatch(says);
      expect(stderr).toContain(" next: ");
      expect((await swarm.master.swarm.listRefusedJoins({})).refused.length).toBe(before);
    });

    const remote: [reason: string, token: () => Promise<string>, env: Record<string, string>][] = [
      ["CATALOGUE_MISMATCH", () => invite("edge-2"), { DECNET_CATALOGUE: "" }],
      [
        "TOKEN_EXPIRED",
        async () => {
          const ends = dying.token?.expiresAt;
          await eventually(async () => ends !== undefined && timestampDate(ends) < new Date());
          return dying.secret;
        },
        {},
      ],
      [
        "TOKEN_REVOKED",
        async () => {
          const made = await swarm.master.swarm.createJoinToken({ hostName: "edge-2" });
          const { token } = await swarm.master.swarm.revokeJoinToken({ id: made.token?.id ?? "" });
          expect(token?.revokedAt).toBeDefined();
          return made.secret;
        },
        {},
      ],
      ["TOKEN_INVALID", async () => formatJoinToken({ ...parseJoinToken(await invite("edge-2")), secret: "guessed" }), {}],
    ];

    it.each(remote)("%s, and the master's operator sees it too, with name and address", async (reason, token, env) => {
      const { exitCode, stderr } = await agent(worker(1), ["join", await token()], env);
      expect([exitCode, stderr]).toEqual([expect.any(Number), expect.stringContaining(`error: ${reason}`)]);
      expect(exitCode).not.toBe(0);
      expect(stderr).toContain(" next: ");
      expect(await newestRefusal()).toMatchObject({
        reason,
        machineName: worker(1).host.name,
        address: worker(1).host.address,
      });
      const files = await execa("find", [worker(1).host.stateDir, "-name", "*.pem", "-o", "-name", "identity.json"]);
      expect(files.stdout).toBe("");
    });

    const told: [reason: string, change: () => MessageInitShape<typeof AgentFactsSchema>, says: RegExp][] = [
      ["VERSION_SKEW", () => ({ protocolVersion: protocolVersion + 1, agentVersion: "9.9" }), /9\.9.*speaks protocol/],
      ["CLOCK_SKEW", () => ({ clock: timestampFromDate(new Date(Date.now() + 600_000)) }), /(599|600|601|59\d) s ahead/],
      ["CLOCK_SKEW", () => ({ clock: timestampFromDate(new Date(Date.now() - 600_000)) }), /60\d s behind/],
      ["ENGINE_UNUSABLE", () => ({ engineProblem: "no engine" }), /no engine/],
      ["CATALOGUE_MISMATCH", () => ({ catalogueDigest: "other" }), /catalog/],
    ];

    it("by the master for every other thing that does not fit, with a token that stays good", async () => {
      const { master, lab } = swarm;
      const { catalogueDigest } = { catalogueDigest: (await loadCatalog([ownCatalog, testCatalog])).digest };
      const { id, secret } = parseJoinToken(await invite("picky"));
      const ca = await readFile(join(master.config.dataDir, "pki", "ca.pem"), "utf8");
      const client = createClientTransport({
        address: `https://${lab.masterAddress}:${master.tlsPort}`,
        token: "",
        tls: { caPem: ca },
      });
      cleanups.push(client.close);
      const enrollment = createClient(EnrollmentService, client.transport);
      const { csrPem } = await createKeyAndCsr({ commonName: "picky" });
      const enroll = (change: MessageInitShape<typeof AgentFactsSchema>) => {
        const clock = timestampFromDate(new Date());
        const facts = create(AgentFactsSchema, { protocolVersion, catalogueDigest, clock, machineName: "m", ...change });
        return enrollment.enroll({ tokenId: id, tokenSecret: secret, csr: csrPem, facts });
      };
      for (const [reason, change, says] of told) {
        const failure: unknown = await enroll(change()).catch((error: unknown) => error);
        expect([fromConnectError(failure).reason, fromConnectError(failure).message]).toEqual([
          reason,
          expect.stringMatching(says),
        ]);
        expect(await newestRefusal()).toMatchObject({ reason, hostName: "picky", machineName: "m", tokenId: id });
      }
      expect((await enroll({})).hostName).toBe("picky");
    });

    it("CLOCK_SKEW when its own clock is so late that the master's certificate is of tomorrow", async () => {
      const authority = await newAuthority();
      const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "m" });
      const now = new Date(Date.now() + 3_600_000);
      const { certPem } = await authority.issueMaster({ csrPem, names: [], ttlMs: 3_600_000, now });
      const late = await startRogueMaster(swarm.lab.masterAddress, { keyPem, certPem }, authority.certPem);
      cleanups.push(() => late.close());
      const token = formatJoinToken({ masters: [late.address], caHash: authority.hash, id: "jt-1", secret: "s" });
      const { stderr } = await agent(worker(1), ["join", token]);
      expect(stderr).toContain("error: CLOCK_SKEW");
      expect(stderr).toContain("not yet valid");
      expect(late.calls).toEqual([]);
    });

    it("tokens are listed with what became of them, and without their secrets", async () => {
      const { tokens } = await swarm.master.swarm.listJoinTokens({});
      expect(tokens.find((token) => token.hostName === "edge-1")).toMatchObject({ hostId: (await hostOf("edge-1"))?.id });
      expect(tokens.some((token) => token.revokedAt !== undefined)).toBe(true);
      const text = JSON.stringify(tokens, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
      expect(text).not.toContain(parseJoinToken(dying.secret).secret);
    });
  });

  it("also when it reaches the master by a name that no certificate holds (W-43)", async () => {
    const { master, lab } = swarm;
    const hosts = join(folder, "hosts");
    await writeFile(hosts, `${lab.masterAddress} decnet-master.example\n`);
    const token = await invite("edge-2", { masters: [`decnet-master.example:${master.tlsPort}`] });
    const inside = ["--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts, process.execPath, ...node];
    const joined = worker(1).host.spawn("unshare", [...inside, "join", token, "--run"], envOf(worker(1)));
    agents.set(worker(1), joined);
    await connected("edge-2");
    const { stdout } = await agent(worker(1), ["status", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      host: "edge-2",
      connected: true,
      message: `connected to decnet-master.example:${master.tlsPort}`,
    });
    await stop(worker(1));
  });

  it("and keeps its certificate fresh by itself, while deckies run on and change (W-45)", { timeout: 180_000 }, async () => {
    const { master } = swarm;
    const before = await worker(0).containers();
    const serials = new Set<string>();
    const keys = new Set<string>();
    let isAdded = false;
    await eventually(async () => {
      const host = await hostOf("edge-1");
      if (host?.certificateSerial !== undefined) serials.add(host.certificateSerial);
      const state = JSON.parse(await readFile(join(worker(0).host.stateDir, "identity.json"), "utf8")) as { keyFile: string };
      keys.add(state.keyFile);
      // Each change may meet a renewal: it is made all the same.
      const change = { decky, service: "http" };
      const { operation } = await (isAdded ? master.mutations.removeService(change) : master.mutations.addService(change));
      expect(operation?.state).toBe(OperationState.SUCCEEDED);
      isAdded = !isAdded;
      return serials.size >= 3 && !isAdded;
    }, 150_000);
    expect(keys.size).toBeGreaterThanOrEqual(3);
    const kept = await execa("find", [worker(0).host.stateDir, "-name", "*.pem"]);
    expect(kept.stdout.split("\n")).toHaveLength(1);
    expect(await worker(0).containers()).toEqual(before);
    const { decky: seen } = await master.fleet.getDecky({ decky });
    expect(seen?.state).toBe(DeckyState.RUNNING);
  });

  it("is told when its certificate ended while it was off, and joins again as the same host with the same deckies", {
    timeout: 180_000,
  }, async () => {
    const { master } = swarm;
    const before = { host: await hostOf("edge-1"), containers: await worker(0).containers() };
    await stop(worker(0));
    const until = (await hostOf("edge-1"))?.certificateExpiresAt;
    await eventually(async () => until !== undefined && timestampDate(until) < new Date(), 60_000);
    start(worker(0), ["run"]);
    const said = await eventually(async () => {
      const { stdout, exitCode } = await agent(worker(0), ["status"]);
      return exitCode === 6 && stdout.includes("CERTIFICATE_REFUSED") ? stdout : undefined;
    }, 60_000);
    expect(said).toContain("the certificate ended at");
    expect(said).toContain("decnet host invite");
    expect(await worker(0).containers()).toEqual(before.containers);

    const token = await invite("edge-1");
    const taken = await agent(worker(0), ["join", token]);
    expect(taken.stderr).toContain("HOST_EXISTS");
    const running = await agent(worker(0), ["join", "--again", token]);
    expect(running.stderr).toContain("DATA_FOLDER_IN_USE");
    await stop(worker(0));
    expect((await agent(worker(0), ["join", "--again", token])).exitCode).toBe(0);
    start(worker(0), ["run"]);
    await connected("edge-1");
    const after = await hostOf("edge-1");
    expect(after?.id).toBe(before.host?.id);
    expect(after?.certificateSerial).not.toBe(before.host?.certificateSerial);
    await eventually(async () => (await master.fleet.getDecky({ decky })).decky?.state === DeckyState.RUNNING);
    expect(await worker(0).containers()).toEqual(before.containers);
    const { operation } = await master.mutations.addService({ decky, service: "http" });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
  });

  it("leaves with all that it brought, once its agent is stopped", async () => {
    const refused = await agent(worker(0), ["leave", "-y"]);
    expect(refused.stderr).toContain("DATA_FOLDER_IN_USE");
    expect((await worker(0).containers()).size).toBe(3);
    await stop(worker(0));
    expect((await agent(worker(0), ["leave"])).exitCode).toBe(2);
    const left = await agent(worker(0), ["leave", "-y"]);
    expect([left.exitCode, left.stderr]).toEqual([0, expect.stringContaining(`removed ${decky.name}`)]);
    expect((await worker(0).containers()).size).toBe(0);
    const { stdout } = await execa("find", [worker(0).host.stateDir, "-type", "f"]);
    expect(stdout).toBe("");
    expect((await agent(worker(0), ["status"])).stderr).toContain("NOT_JOINED");
    await swarm.master.swarm.decommissionHost({ name: "edge-1", force: true });
    expect(await hostOf("edge-1")).toBeUndefined();
  });
});
