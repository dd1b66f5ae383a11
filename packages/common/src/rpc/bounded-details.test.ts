import { create } from "@bufbuild/protobuf";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { OperationSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { reasons } from "@decnet/contract/reasons";
import { describe, expect, it } from "vitest";
import { AppError, type AppErrorOptions } from "../errors/app-error.ts";
import { cutText } from "./bounded-details.ts";
import { fromConnectError, OperationFailed, toConnectError } from "./errors.ts";

/** What it takes in headers, names included, as HTTP/2 counts them. */
function sizeOnWire(error: AppError): number {
  const trailer = setTrailerStatus(new Headers(), toConnectError(error));
  return [...trailer].reduce((sum, [name, value]) => sum + name.length + Buffer.byteLength(value) + 32, 0);
}

const limit = 7_000;

const long = (unit: string) => unit.repeat(Math.ceil(60_000 / unit.length));
const everything = (text: string): AppErrorOptions => ({
  metadata: Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`key_${index}`, text])),
  violations: Array.from({ length: 500 }, (_, index) => ({ field: `fleet.deckies[${index}].${text}`, description: text })),
  resource: { type: text, name: text },
  retryAfterMs: 86_400_000,
  outputTail: Array.from({ length: 100 }, () => text),
});

const bigOperation = (text: string) =>
  create(OperationSchema, {
    id: text,
    decky: { name: text, topologyId: text },
    host: text,
    service: text,
    parent: text,
    waitingFor: text,
    plan: { text, steps: Array.from({ length: 100 }, () => ({ target: text, cause: text })) },
    steps: Array.from({ length: 100 }, () => ({ outputTail: [text] })),
    error: { reason: "APPLY_FAILED", message: text, next: [text], outputTail: Array.from({ length: 50 }, () => text) },
    children: Array.from({ length: 1_000 }, () => text),
  });

describe.each([
  ["plain letters", long("x")],
  ["blanks", long(" ")],
  ["three bytes each", long("日本語")],
  ["four bytes each", long("😀")],
  ["halves of characters", long("\ud800")],
  ["lines", long("a line of output\n")],
])("errors full of %s", (_, text) => {
  it("fit in headers that every client reads", () => {
    for (const reason of Object.keys(reasons) as (keyof typeof reasons)[])
      expect(sizeOnWire(new OperationFailed(reason, text, bigOperation(text), everything(text)))).toBeLessThan(limit);
  });
});

it("a failed operation keeps its id, its reason, its message and the last lines of its output", () => {
  const outputTail = Array.from({ length: 500 }, (_, index) => `line ${index}`);
  const operation = create(OperationSchema, { ...bigOperation(long("x")), id: "op-1", host: "edge-1" });
  operation.error = { ...operation.error!, reason: "APPLY_FAILED", message: "redis: port 6379/tcp never listened", outputTail };
  const failure = fromConnectError(toConnectError(new OperationFailed("APPLY_FAILED", "redis failed", operation)));
  expect(failure.operation).toMatchObject({ id: "op-1", host: "edge-1", steps: [] });
  expect(failure.operation?.error).toMatchObject({ reason: "APPLY_FAILED", message: "redis: port 6379/tcp never listened" });
  expect(failure.operation?.error?.outputTail.at(-1)).toBe("line 499");
  expect(failure.operation?.error?.outputTail.length).toBeGreaterThan(10);
});

it("what is short stays as it is", () => {
  const violations = [{ field: "config.port", description: "is at most 65535" }];
  const error = new AppError("CONFIG_INVALID", "é: 日本", { metadata: { service: "ssh" }, violations });
  expect(fromConnectError(toConnectError(error))).toMatchObject({ message: "é: 日本", metadata: { service: "ssh" }, violations });
});

it.each([
  ["abc", 3, "abc"],
  ["abcdef", 5, "ab…"],
  ["日本語", 9, "日本語"],
  ["日本語", 8, "日…"],
  ["a\ud800b", 10, "a\ufffdb"],
  ["", 0, ""],
])("%j in %i bytes is %j", (text, bytes, cut) => expect(cutText(text, bytes)).toBe(cut));
