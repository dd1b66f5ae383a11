import { afterAll, beforeAll, describe, expect, it } from "vitest";
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

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_DRIFT_INTERVAL_MS: "600000" } });
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
              },
            ],
          },
          options,
        },
      ],
      ["OperationService/CancelOperation", { id: "op-none", reason: "r" }],
      ["AccessService/CreateToken", { name: "\n", role: "ROLE_VIEWER", ttl: "1s" }],
      ["AccessService/RevokeToken", { id: "tk-none" }],
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
  const post = async (method: string, body: string) => {
    const response = await fetch(`http://127.0.0.1:${master.port}/decnet.v1.${method}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${master.token}` },
      body,
    });
    return { status: response.status, text: await response.text() };
  };

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
          if (answer.status < 400 || /"code":"(internal|unknown)"/.test(answer.text))
            wrong.push(`${method} ${path.join(".")} = ${name}: ${answer.status} ${answer.text.slice(0, 200)}`);
        }
    for (const body of ["", "{", "[]", "null", '"text"', "\u0000", `{"decky":${"[".repeat(200_000)}`]) {
      const answer = await post("MutationService/AddService", body);
      if (answer.status < 400 || /"code":"(internal|unknown)"/.test(answer.text))
        wrong.push(`body ${body.slice(0, 20)}: ${answer.status} ${answer.text.slice(0, 200)}`);
    }
    expect(wrong).toEqual([]);
    expect(await containersOf(master.prefix)).toEqual(before.containers);
    expect((await master.operations.listOperations({ pageSize: 1000 })).operations.length).toBe(before.operations);
  });
});
