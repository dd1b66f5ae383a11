import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { AccessService } from "@decnet/contract/gen/decnet/v1/access_pb";
import { CatalogService } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import { EventService } from "@decnet/contract/gen/decnet/v1/event_pb";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationService } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMemoryEngine } from "../support/memory-engine.ts";
import { deploy, type TestMaster, useMaster } from "../support/use-master.ts";

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

interface OddRequest {
  readonly field: string;
  readonly body: string;
}

const oddTexts = ['"a\\u0000b"', '"\\ud800"', '"\\udc00x"', `"${"x".repeat(20_000)}"`, '""', '"\\ufeff"', "7", "null"];
const oddNumbers = ["-1", "4294967295", "2147483648", "1e400", "0.5", '"NaN"', '"-5"', "18446744073709551616"];
const marker = "@@";

/** One request for each field and each odd value of it, with what else the request needs. */
function oddRequests(input: DescMessage, decky: string): OddRequest[] {
  const base: Record<string, Json> = {};
  const needed = { decky: { name: decky }, service: "redis", id: "op-none", name: "nobody", hostName: "edge-9" };
  for (const field of input.fields)
    if (Object.hasOwn(needed, field.jsonName)) base[field.jsonName] = needed[field.jsonName as keyof typeof needed];
  return leaves(input, 0).flatMap(({ path, field, wrap }) => {
    const values = field.scalar === ScalarType.STRING ? oddTexts : field.scalar === ScalarType.BOOL ? ['"yes"'] : oddNumbers;
    const body = JSON.stringify({ ...base, ...wrap(marker) });
    return values.map((value) => ({ field: `${path} ${value.slice(0, 20)}`, body: body.replace(`"${marker}"`, value) }));
  });
}

interface Leaf {
  readonly path: string;
  readonly field: DescField;
  readonly wrap: (value: Json) => { [key: string]: Json };
}

function leaves(message: DescMessage, depth: number): Leaf[] {
  if (depth > 4) return [];
  return message.fields.flatMap((field): Leaf[] => {
    const { jsonName } = field;
    const put = (value: Json) => ({
      [jsonName]: field.fieldKind === "list" ? [value] : field.fieldKind === "map" ? { k: value } : value,
    });
    if (field.message === undefined) return [{ path: jsonName, field, wrap: put }];
    if (field.message.typeName === "google.protobuf.Struct")
      return [{ path: `${jsonName}.password`, field, wrap: (value) => put({ password: value, [String(value)]: 1 }) }];
    if (field.message.typeName.startsWith("google.")) return [{ path: jsonName, field, wrap: put }];
    return leaves(field.message, depth + 1).map((leaf) => ({
      ...leaf,
      path: `${jsonName}.${leaf.path}`,
      wrap: (value) => put(leaf.wrap(value)),
    }));
  });
}

const services = [MutationService, FleetService, SwarmService, CatalogService, OperationService, EventService, AccessService];

describe("a value that makes no sense", () => {
  let master: TestMaster;

  beforeAll(async () => {
    master = await useMaster({ openHostEngine: async ({ catalog, instance }) => createMemoryEngine({ catalog, instance }) });
    await deploy(master, { a: ["ssh", "redis"] });
  });

  afterAll(() => master.dispose());

  const send = async (path: string, { body }: OddRequest): Promise<{ status: number; text: string }> => {
    const response = await fetch(`http://127.0.0.1:${master.port}/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${master.token}`, "content-type": "application/json", "connect-timeout-ms": "5000" },
      body,
    });
    return { status: response.status, text: await response.text() };
  };

  const methods = services
    .flatMap((service) => service.methods.map((method) => [`${service.typeName}/${method.name}`, method] as const))
    .filter(([, method]) => method.methodKind === "unary");

  it.each(methods)("%s never calls it a defect, and says what is wrong", async (path, method) => {
    const defects: string[] = [];
    for (const odd of oddRequests(method.input, `${master.prefix}-a`)) {
      const { status, text } = await send(path, odd);
      const error = status === 200 ? undefined : (JSON.parse(text) as { code: string; details?: unknown[] });
      const isDefect = error !== undefined && (["internal", "unknown"].includes(error.code) || error.details === undefined);
      if (isDefect) defects.push(`${odd.field}: ${text.slice(0, 200)}`);
    }
    expect(defects).toEqual([]);
  });
});
