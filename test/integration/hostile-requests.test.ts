import { readFile } from "node:fs/promises";
import https from "node:https";
import { join } from "node:path";
import { createKeyAndCsr } from "@decnet/common/pki/certificates";
import { parseJoinToken } from "@decnet/common/pki/join-token";
import { protocolVersion } from "@decnet/common/protocol-version";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownCatalog, testCatalog } from "../support/catalogs.ts";
import { containersOf, deploy, type TestMaster, useMaster } from "../support/use-master.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const nested = (depth: number): Json => JSON.parse(`${"[".repeat(depth)}${"]".repeat(depth)}`) as Json;

/** What no field expects. */
const hostile: Record<string, Json> = {
  null: null,
  true: true,
  "a negative number": -1,
  "a huge number": 1e300,
  "a fraction": 0.5,
  "empty text": "",
  "long text": "x".repeat(100_000),
  "more than a request may hold": "x".repeat(2_000_000),
  "control characters": "a\u0000\u001b[2J\nb",
  "a path": "../../../etc/passwd",
  "dollars and backticks": ["$HOME$", "{PATH}$(reboot)`id`"].join(""),
  "a lone surrogate": "\ud800",
  "an empty list": [],
  "an object": { a: { b: ["c"] } },
  "a prototype": JSON.parse('{"__proto__":{"admin":true},"constructor":1}') as Json,
  "deep nesting": nested(3_000),
};

describe("requests that nobody would write by hand", () => {
  let master: TestMaster;
  let decky: { name: string };
  /** Each of these is refused also when nothing is wrong with its fields, so that whatever happens is never a change. */
  let requests: [string, { [key: string]: Json }][];
  /** What an agent may send, and what only reads: they may be taken, and change nothing outside the agent's own host. */
  let harmless: [string, { [key: string]: Json }][];
  /** As a worker that never ran anything. */
  let agent: https.RequestOptions;

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_DRIFT_INTERVAL_MS: "600000", DECNET_TLS_HOST: "127.0.0.1", DECNET_TLS_PORT: "0" } });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["redis"] });
    const options = {
      requestId: "r",
      expectedRevision: 900,
      expectedPlan: "p",
      dryRun: false,
      reason: "why",
      onFailure: "ON_FAILURE_UNDO",
      wait: "WAIT_ACCEPTED",
    };
    requests = [
      [
        "MutationService/AddService",
        { decky: { ...decky, topologyId: "" }, service: "redis", config: { password: "p", maxmemory_mb: 5 }, options },
      ],
      ["MutationService/RemoveService", { decky, service: "http", options }],
      [
        "MutationService/UpdateServiceConfig",
        {
          decky,
          service: "http",
          config: { response_code: 200, custom_body: "b" },
          mode: "UPDATE_MODE_MERGE",
          clearSecrets: ["x"],
          apply: true,
          options,
        },
      ],
      ["FleetService/RestoreRevision", { decky, revision: 900, service: "redis", options }],
      ["FleetService/TeardownDecky", { decky, options }],
      [
        "FleetService/ApplyFleet",
        {
          fleet: {
            lan: { driver: "LAN_DRIVER_BRIDGE", name: "n", subnet: "10.0.0.1/33", gateway: "g", parent: "p", ipStart: "i" },
            driftPolicy: "DRIFT_POLICY_REPAIR",
            deckies: [
              {
                name: "UPPER",
                count: 1,
                archetype: "a",
                services: [{ slug: "s", config: {} }],
                ip: "i",
                distro: "d",
                hostname: "h",
                osFamily: "o",
                placement: { host: "nobody" },
              },
            ],
            defaultPlacement: { labels: { labels: { zone: "z" } } },
            movePolicy: "MOVE_POLICY_REMOVE_FIRST",
          },
          options,
        },
      ],
      ["OperationService/CancelOperation", { id: "op-none", reason: "r" }],
      ["AccessService/CreateToken", { name: "\n", role: "ROLE_VIEWER", ttl: "1s" }],
      ["AccessService/RevokeToken", { id: "tk-none" }],
      [
        "MutationService/BatchMutate",
        {
          changes: [
            { add: { decky, service: "gopher", config: { a: "b" } } },
            { remove: { decky, service: "no such" } },
            { update: { decky, service: "gopher", config: {}, mode: "UPDATE_MODE_MERGE", apply: true } },
          ],
          select: "",
          parallel: 2,
          maxFailures: 1,
          options,
        },
      ],
      ["SwarmService/CreateJoinToken", { hostName: "UPPER", ttl: "60s", labels: { zone: "z" }, masters: ["m:1"] }],
      ["SwarmService/RevokeJoinToken", { id: "jt-none" }],
      ["SwarmService/DrainHost", { name: "nobody", options }],
      ["SwarmService/ActivateHost", { name: "nobody" }],
      ["SwarmService/DecommissionHost", { name: "nobody", force: true, options }],
      ["SwarmService/GetHost", { name: "nobody" }],
    ];
    const { csrPem: csr, keyPem } = await createKeyAndCsr({ commonName: "edge" });
    const { digest } = await loadCatalog([ownCatalog, testCatalog]);
    const facts = {
      agentVersion: "v",
      protocolVersion,
      catalogueDigest: digest,
      engineVersion: "e",
      composeVersion: "c",
      interfaces: [{ name: "eth0", addresses: ["10.0.0.1/24"] }],
      capacity: { cpus: 1, memoryBytes: "1", diskBytes: "1", diskFreeBytes: "1" },
      clock: new Date().toISOString(),
      warnings: ["w"],
      machineName: "m",
    };
    const ca = await readFile(join(master.config.dataDir, "pki", "ca.pem"), "utf8");
    agent = { ca, agent: new https.Agent({ keepAlive: true }) };
    const { secret } = await master.swarm.createJoinToken({ hostName: "edge" });
    const token = parseJoinToken(secret);
    const enrolled = await post(
      "EnrollmentService/Enroll",
      JSON.stringify({ tokenId: token.id, tokenSecret: token.secret, csr, facts }),
    );
    const { certificate } = JSON.parse(enrolled.text) as { certificate: string };
    agent = { ...agent, cert: certificate, key: keyPem };
    requests.push(
      ["EnrollmentService/Enroll", { tokenId: "jt-none", tokenSecret: "s", csr, facts }],
      ["EnrollmentService/RenewCertificate", { csr: "none" }],
    );
    const nobody = { name: "nobody", topologyId: "" };
    const outcome = {
      decky: nobody,
      revision: 1,
      plan: { steps: [{ number: 1, verb: "v", target: "t", cause: "c" }], untouched: ["u"], digest: "d" },
      receipt: { othersUnchanged: true, containers: [{ name: "n", before: { id: "i", startedAt: "s", restartCount: 1 } }] },
      observation: { decky: nobody, revision: 1, state: 2, services: [{ slug: "s", listening: ["1/tcp"] }] },
    };
    harmless = [
      [
        "RegistrationService/Register",
        { facts, accepted: [{ decky: nobody, id: "i", revision: 1 }], instanceId: "i", reportStream: "s" },
      ],
      [
        "RegistrationService/Report",
        {
          reportStream: "s",
          lookedMsAgo: 5,
          items: [
            { sequence: "1", at: facts.clock, observation: outcome.observation },
            { sequence: "2", repair: { decky: nobody, cause: "c", outcome, steps: [{ number: 1 }], startedAt: facts.clock } },
            { sequence: "3", gap: { lost: "1" } },
          ],
        },
      ],
      ["RegistrationService/Report", { reportStream: "another", items: [{ sequence: "1", engine: { problem: "p" } }] }],
      ["SwarmService/ListHosts", { filter: "name=e*,state!=connected,label=zone:z", pageSize: 5, pageToken: "0" }],
      ["SwarmService/ListRefusedJoins", { pageSize: 5 }],
      ["FleetService/ListDeckies", { filter: "host=edge-*", pageSize: 5, pageToken: "0" }],
    ];
  });

  /** Every place in a request, as the list of keys that leads there. */
  const places = (value: Json, path: (string | number)[] = []): (string | number)[][] => {
    if (typeof value !== "object" || value === null) return [path];
    const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
    return [...(path.length > 0 ? [path] : []), ...entries.flatMap(([key, inner]) => places(inner as Json, [...path, key]))];
  };
  const replaced = (value: Json, path: (string | number)[], by: Json): Json => {
    const [key, ...rest] = path;
    if (key === undefined) return by;
    if (Array.isArray(value)) return value.map((inner, index) => (index === key ? replaced(inner, rest, by) : inner));
    return { ...(value as { [key: string]: Json }), [key]: replaced((value as { [key: string]: Json })[key] ?? null, rest, by) };
  };
  /** Of a call that streams, the error is in its last part. */
  const post = async (method: string, body: string): Promise<{ isRefused: boolean; text: string }> => {
    if (/^(Enrollment|Registration)/.test(method)) return postAsAgent(method, body);
    const isStream = method.endsWith("BatchMutate");
    const response = await fetch(`http://127.0.0.1:${master.port}/decnet.v1.${method}`, {
      method: "POST",
      headers: {
        "content-type": isStream ? "application/connect+json" : "application/json",
        authorization: `Bearer ${master.token}`,
      },
      body: isStream ? inEnvelope(body) : body,
    });
    const text = await response.text();
    return { isRefused: response.status >= 400 || (isStream && text.includes('"error":{"code"')), text };
  };
  const inEnvelope = (body: string): Buffer => {
    const bytes = Buffer.from(body);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes.length, 1);
    return Buffer.concat([head, bytes]);
  };
  let agentCalls = 0;
  /** No faster than a worker may call for long. */
  const postAsAgent = async (method: string, body: string): Promise<{ isRefused: boolean; text: string }> => {
    agentCalls += 1;
    if (agentCalls > 400) await new Promise((resolve) => setTimeout(resolve, 60));
    return new Promise((resolve, reject) => {
      const address = { host: "127.0.0.1", port: master.tlsPort, path: `/decnet.v1.${method}` };
      const request = https.request({ ...agent, ...address, method: "POST", headers: { "content-type": "application/json" } });
      request.once("error", reject).once("response", (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.once("error", reject).once("end", () => resolve({ isRefused: (response.statusCode ?? 500) >= 400, text }));
      });
      request.end(body);
    });
  };
  const isInternal = (text: string) => /"code":"(internal|unknown)"/.test(text);

  it("are refused, never as an internal error, and change nothing", { timeout: 300_000 }, async () => {
    const before = {
      containers: await containersOf(master.prefix),
      operations: (await master.operations.listOperations({ pageSize: 1000 })).operations.length,
    };
    const wrong: string[] = [];
    for (const [method, request] of requests)
      for (const path of places(request))
        for (const [name, value] of Object.entries(hostile)) {
          // These two would make the call harmless to accept: a changed guard is no attack.
          if (
            ["expectedRevision", "expectedPlan", "requestId", "revision", "subnet", "name", "dryRun"].includes(
              String(path.at(-1)),
            ) &&
            ["null", "empty text", "true"].includes(name)
          )
            continue;
          if (path.at(-1) === "options" || path[0] === "config")
            if (["null", "an object", "a prototype"].includes(name)) continue;
          const answer = await post(method, JSON.stringify(replaced(request, path, value)));
          if (!answer.isRefused || isInternal(answer.text))
            wrong.push(`${method} ${path.join(".")} = ${name}: ${answer.text.slice(0, 200)}`);
        }
    for (const body of ["", "{", "[]", "null", '"text"', "\u0000", `{"decky":${"[".repeat(200_000)}`]) {
      const answer = await post("MutationService/AddService", body);
      if (!answer.isRefused || isInternal(answer.text)) wrong.push(`body ${body.slice(0, 20)}: ${answer.text.slice(0, 200)}`);
    }
    expect(wrong).toEqual([]);
    expect(await containersOf(master.prefix)).toEqual(before.containers);
    expect((await master.operations.listOperations({ pageSize: 1000 })).operations.length).toBe(before.operations);
  });

  it("of an agent, and reads, are never an internal error, and change no decky", { timeout: 300_000 }, async () => {
    const before = await containersOf(master.prefix);
    const operations = (await master.operations.listOperations({ pageSize: 1000 })).operations.length;
    const wrong: string[] = [];
    for (const [method, request] of harmless)
      for (const path of places(request))
        for (const [name, value] of Object.entries(hostile)) {
          const answer = await post(method, JSON.stringify(replaced(request, path, value)));
          if (isInternal(answer.text)) wrong.push(`${method} ${path.join(".")} = ${name}: ${answer.text.slice(0, 200)}`);
        }
    expect(wrong).toEqual([]);
    expect((await master.swarm.listHosts({})).hosts.map((host) => host.name)).toEqual(["edge"]);
    expect(await containersOf(master.prefix)).toEqual(before);
    expect((await master.operations.listOperations({ pageSize: 1000 })).operations.length).toBe(operations);
  });
});
