import { fromConnectError } from "@decnet/common/rpc/errors";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deploy, inside, type TestMaster, useMaster } from "../support/use-master.ts";

const warning = "sever_header: not a setting of http; did you mean server_header?";

describe("what a caller wrote", () => {
  let master: TestMaster;
  let decky: { name: string };

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_DRIFT_INTERVAL_MS: "600000" } });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["http", "ssh"] });
  });

  const post = async (method: string, body: string) => {
    const response = await fetch(`http://127.0.0.1:${master.port}/decnet.v1.${method}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${master.token}` },
      body,
    });
    return { status: response.status, text: await response.text() };
  };
  const http = async () => (await inside(decky.name, "curl", ["-s", "-i", "http://127.0.0.1/"])).stdout;

  it("is refused when it has no place: nothing is changed by a mistyped dry run", async () => {
    const before = await containersOf(master.prefix);
    const { status, text } = await post(
      "MutationService/AddService",
      JSON.stringify({ decky, service: "redis", options: { dryrun: true } }),
    );
    expect(status).toBe(400);
    expect(text).toContain("unknown field options.dryrun; did you mean dryRun?");
    const fleet = await post("FleetService/ApplyFleet", JSON.stringify({ fleet: { lan: master.lan, decky: [] } }));
    expect(fleet.text).toContain("unknown field fleet.decky; did you mean deckies?");
    expect(await containersOf(master.prefix)).toEqual(before);
  });

  it("is named in plan and operation when it is no setting of the service, and stays there", async () => {
    const config = { sever_header: "x", server_header: "mine" };
    const planned = await master.mutations.updateServiceConfig({ decky, service: "http", config, options: { dryRun: true } });
    expect(planned.operation?.plan?.warnings).toEqual([warning]);
    expect(planned.operation?.warnings).toEqual([warning]);
    const digest = planned.operation?.plan?.digest ?? "";
    const { operation } = await master.mutations.updateServiceConfig({ decky, service: "http", config, apply: true });
    expect(operation?.warnings).toEqual([warning]);
    const { operation: stored } = await master.operations.getOperation({ id: operation?.id ?? "" });
    expect(stored?.plan?.warnings).toEqual([warning]);
    expect(digest).not.toBe("");
    expect(await http()).toContain("Server: mine");
  });

  it("is named for a batch and for a fleet", async () => {
    const changes = [
      { change: { case: "update", value: { decky, service: "http", config: { sever_header: "x" }, mode: 2 } } },
    ] as const;
    const seen: string[] = [];
    for await (const { item } of master.mutations.batchMutate({ changes: [...changes], options: { dryRun: true } }))
      if (item.case === "result") seen.push(...(item.value.operation?.warnings ?? []));
    expect(seen).toEqual([warning]);
    const { operation } = await master.fleet.applyFleet({
      fleet: { lan: master.lan, deckies: [{ name: decky.name, services: [{ slug: "http", config: { sever_header: "x" } }] }] },
      options: { dryRun: true },
    });
    expect(operation?.warnings).toEqual([`${decky.name}: ${warning}`]);
  });

  it.each<[string, string, string, unknown]>([
    ["a hostname that a shell would run", "ssh", "hostname", "$(touch /tmp/x)"],
    ["a hostname with quotes", "ssh", "hostname", "a'; id; '"],
    ["a code that has no page", "http", "response_code", 204],
    ["a code that is none", "http", "response_code", 150],
    ["a system account", "ssh", "user", "www-data"],
    ["a name with a blank", "ssh", "user", "a b"],
    ["a line break in a header", "http", "extra_headers", '{"A":"1\\r\\nSet-Cookie: x"}'],
    ["U+0085 in a header", "http", "server_header", "a\u0085b"],
    ["U+FFFE in a password", "ssh", "password", "a\ufffeb"],
    ["C1 in a password", "ssh", "password", "a\u009bb"],
    ["half of a pair", "http", "custom_body", "\ud800"],
  ])("is refused before anything is touched: %s", async (_, service, key, value) => {
    const before = await containersOf(master.prefix);
    const { status, text } = await post(
      "MutationService/UpdateServiceConfig",
      JSON.stringify({ decky, service, mode: "UPDATE_MODE_MERGE", config: { [key]: value }, apply: true }),
    );
    expect([status, text]).toEqual([400, expect.stringContaining(`config.${key}`)]);
    expect(await containersOf(master.prefix)).toEqual(before);
  });

  it("reaches a client byte by byte, also when it is large", async () => {
    const body = `\u0085\u009b\ufffe${"<p>é</p>\n".repeat(18_000)}`;
    await master.mutations.updateServiceConfig({ decky, service: "http", mode: 2, config: { custom_body: body }, apply: true });
    const { stdout } = await inside(decky.name, "curl", ["-s", "http://127.0.0.1/"]);
    expect(`${stdout}\n` === body).toBe(true);
    const { decky: shown } = await master.fleet.getDecky({ decky });
    expect(shown?.services.find(({ slug }) => slug === "http")?.config?.["custom_body"] === body).toBe(true);
  });

  it("is refused with the same words over gRPC", async () => {
    const failure: unknown = await master.mutations
      .addService({ decky, service: "ftp", config: { banner: " ", user: "root", password: "x".repeat(200) } })
      .catch((error: unknown) => error);
    expect(fromConnectError(failure).violations).toEqual([
      expect.objectContaining({
        field: "config.banner",
        description: "banner: must be one line of text without blanks around it",
      }),
      expect.objectContaining({ field: "config.user" }),
      expect.objectContaining({ field: "config.password", description: "password: must have at most 128 bytes" }),
    ]);
  });
});
