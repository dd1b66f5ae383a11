import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Code, ConnectError, createClient } from "@connectrpc/connect";
import { type AgentIdentity, readIdentity, writeIdentity } from "@decnet/agent/identity";
import { type CertificateAuthority, createKeyAndCsr, openAuthority } from "@decnet/common/pki/certificates";
import { parseJoinToken } from "@decnet/common/pki/join-token";
import { agentAlpn, protocolVersion } from "@decnet/common/protocol-version";
import { createClientTransport } from "@decnet/common/rpc/client";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { AccessService } from "@decnet/contract/gen/decnet/v1/access_pb";
import { AgentFactsSchema, EnrollmentService, RegistrationService } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { HostState, SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { ownCatalog, testCatalog } from "./catalogs.ts";
import type { KeyAndCertificate } from "./certificates.ts";
import type { LongRunningProgram } from "./lab/inside.ts";
import type { LabHost } from "./lab.ts";
import { ownProgram } from "./programs.ts";
import { eventually } from "./use-master.ts";
import type { Swarm } from "./use-swarm.ts";

/** Beside the agent that every host of the lab has. */
const firstPort = 7_600;

/** Who a worker is, as far as a caller needs it. */
export interface CallerIdentity extends KeyAndCertificate {
  readonly hostId: string;
  readonly installation: string;
}

/** A worker that is a certificate and nothing else, and what it joined with. */
export interface EnrolledCaller extends CallerIdentity {
  readonly name: string;
  readonly secret: string;
  readonly csr: string;
}

/** An agent in a process of its own, beside the one that the host has. */
export interface ExtraAgent {
  readonly program: LongRunningProgram;
  /** What it says about its connection, on loopback; empty while it does not run. */
  says(): Promise<string>;
  /** Runs `decnet agent …` for it. */
  run(...args: string[]): Promise<string>;
}

/** All kinds of callers of a swarm's master, with good certificates and bad ones. */
export interface Callers {
  readonly authority: CertificateAuthority;
  /** Calls to the master's TLS port, with or without a certificate and a bearer token. */
  callAs(who: KeyAndCertificate | undefined, token?: string): ReturnType<typeof clientsOf>;
  /** What an agent says of its machine. */
  facts(change?: MessageInitShape<typeof AgentFactsSchema>): ReturnType<typeof create<typeof AgentFactsSchema>>;
  enrol(name: string): Promise<EnrolledCaller>;
  /** With the same token; with another key when one is given. */
  enrolAgain(first: Pick<EnrolledCaller, "secret" | "csr">): Promise<{ hostId: string }>;
  /** Opens a connection as agents do to be served on. */
  openLink(who: KeyAndCertificate | undefined): Promise<{ closed: Promise<void>; socket: tls.TLSSocket }>;
  /** Actor and target of each entry. */
  audited(filter: string): Promise<(readonly [actor: string, target: string])[]>;
  /** What changes when a host's connection is another one. */
  connection(name: string): Promise<readonly unknown[]>;
  untilConnected(name: string): Promise<unknown>;
  /** Starts an agent on a host with somebody's identity. `masters`: where it looks for its master, instead of the real one. */
  startAgent(host: LabHost, who: EnrolledCaller | { copyOf: LabHost }, masters?: readonly string[]): Promise<ExtraAgent>;
  /** Something to be done at the end. */
  cleanUp(work: () => unknown): void;
  dispose(): Promise<void>;
}

function clientsOf(transport: Parameters<typeof createClient>[1]) {
  return {
    enrollment: createClient(EnrollmentService, transport),
    registration: createClient(RegistrationService, transport),
    mutations: createClient(MutationService, transport),
    swarm: createClient(SwarmService, transport),
    access: createClient(AccessService, transport),
  };
}

/** Why a call was refused; throws when it was not. */
export async function refusalOf(call: Promise<unknown>): Promise<{ reason: string; message: string; code: Code }> {
  const failure: unknown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure === undefined) throw new Error("it was not refused");
  const { reason, message } = fromConnectError(failure);
  return { reason, message, code: ConnectError.from(failure).code };
}

/** The identity that a worker of the lab joined with. */
export async function identityOf({ stateDir }: LabHost): Promise<CallerIdentity & { readonly whole: AgentIdentity }> {
  const whole = await readIdentity(stateDir);
  if (whole === undefined) throw new Error(`nobody joined with ${stateDir}`);
  return { keyPem: whole.keyPem, certPem: whole.certificate, hostId: whole.hostId, installation: whole.installation, whole };
}

export async function createCallers(swarm: Swarm): Promise<Callers> {
  const { master, lab } = swarm;
  const folder = await mkdtemp(join(tmpdir(), "decnet-callers-"));
  const cleanups: (() => unknown)[] = [() => rm(folder, { recursive: true, force: true })];
  const cleanUp = (work: () => unknown) => void cleanups.push(work);
  const pki = join(master.config.dataDir, "pki");
  const { hosts } = await master.swarm.listHosts({});
  const [first] = lab.hosts;
  if (first === undefined || hosts.length === 0) throw new Error("the swarm has no worker");
  const { installation } = await identityOf(first);
  const caPem = await readFile(join(pki, "ca.pem"), "utf8");
  const authority = await openAuthority({
    certPem: caPem,
    keyPem: await readFile(join(pki, "ca.key"), "utf8"),
    installation,
  });
  const { digest } = await loadCatalog([ownCatalog, testCatalog]);
  const address = `${lab.masterAddress}:${master.tlsPort}`;
  let port = firstPort;

  const callers: Callers = {
    authority,
    callAs(who, token = "") {
      const own = who === undefined ? {} : { certPem: who.certPem, keyPem: who.keyPem };
      const client = createClientTransport({ address: `https://${address}`, token, tls: { caPem, ...own } });
      cleanUp(client.close);
      return clientsOf(client.transport);
    },
    facts: (change = {}) =>
      create(AgentFactsSchema, {
        agentVersion: "test",
        protocolVersion,
        catalogueDigest: digest,
        clock: timestampFromDate(new Date()),
        machineName: "a-machine",
        ...change,
      }),
    async enrol(name) {
      const { secret } = await master.swarm.createJoinToken({ hostName: name });
      const { keyPem, csrPem: csr } = await createKeyAndCsr({ commonName: name });
      const { id, secret: word } = parseJoinToken(secret);
      const request = { tokenId: id, tokenSecret: word, csr, facts: callers.facts() };
      const { hostId, certificate } = await callers.callAs(undefined).enrollment.enroll(request);
      return { name, hostId, installation, certPem: certificate, keyPem, secret, csr };
    },
    enrolAgain({ secret, csr }) {
      const { id, secret: word } = parseJoinToken(secret);
      return callers.callAs(undefined).enrollment.enroll({ tokenId: id, tokenSecret: word, csr, facts: callers.facts() });
    },
    async openLink(who) {
      const own = who === undefined ? {} : { cert: who.certPem, key: who.keyPem };
      const to = { host: lab.masterAddress, port: master.tlsPort, ca: caPem, ALPNProtocols: [agentAlpn] };
      const socket = tls.connect({ ...to, ...own });
      cleanUp(() => socket.destroy());
      const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
      socket.on("error", () => socket.destroy()).resume();
      await new Promise<void>((resolve) => socket.once("secureConnect", resolve).once("close", resolve));
      return { closed, socket };
    },
    async audited(filter) {
      const { entries } = await master.access.listAudit({ filter, pageSize: 200 });
      return entries.map(({ actor, target }) => [actor, target] as const);
    },
    async connection(name) {
      const { host } = await master.swarm.getHost({ name });
      return [host?.state, host?.connectedSince?.seconds, host?.connectedSince?.nanos];
    },
    untilConnected: (name) => eventually(async () => (await callers.connection(name))[0] === HostState.CONNECTED, 60_000),
    async startAgent(host, who, masters) {
      port += 1;
      const state = join(folder, String(port));
      if ("copyOf" in who) {
        // What shows that the real one lives is a socket.
        const filter = (from: string) => !/\/(specs|deckies|reports)$|\.alive$/.test(from);
        await cp(who.copyOf.stateDir, state, { recursive: true, filter });
        const copied = join(state, "identity.json");
        const identity = JSON.parse(await readFile(copied, "utf8")) as object;
        if (masters !== undefined) await writeFile(copied, JSON.stringify({ ...identity, masters }));
      } else {
        const { name: hostName, hostId, certPem: certificate, keyPem } = who;
        const known = { hostId, hostName, installation, certificate, caCertificate: caPem, keyPem };
        await writeIdentity(state, { ...known, masters: [...(masters ?? [address])] });
      }
      const env = {
        DECNET_AGENT_DIR: state,
        DECNET_AGENT_PORT: String(port),
        DECNET_DOCKER_SOCKET: host.socket,
        DECNET_CATALOGUE: testCatalog,
        DECNET_LOG_LEVEL: "error",
      };
      const node = ownProgram("agent");
      const loopback = `http://127.0.0.1:${port}/`;
      const program = host.spawn(process.execPath, [...node, "run"], env);
      cleanUp(() => program.kill("SIGKILL"));
      return {
        program,
        says: async () => (await host.run("curl", ["-s", loopback], { reject: false })).stdout ?? "",
        run: async (...args) =>
          (await host.run(process.execPath, [...node, ...args], { env, timeout: 60_000, reject: false })).stdout ?? "",
      };
    },
    cleanUp,
    async dispose() {
      for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) await cleanup();
    },
  };
  return callers;
}
