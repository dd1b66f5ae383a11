import { expect, it } from "vitest";
import { type CommandMessage, CommandRefused, readCommand, signatureOf, verifyCommand } from "./read-command.ts";

const now = Date.UTC(2026, 0, 1, 12);
const key = "ab".repeat(32);
const asked = { decky_name: "web-01", action: "add", service_name: "ssh", service_config: { port: 22 }, expected_revision: 3 };
const headers = {
  ...{ ce_specversion: "1.0", ce_id: "c-1", ce_time: "2026-01-01T12:00:00Z", ce_type: "decnet.decky.mutate_request.v1" },
  "decnet-token": "tk-0123456789",
};
const message = (more: Record<string, string> = {}, value: string | Buffer | null = JSON.stringify(asked)): CommandMessage => ({
  headers: { ...headers, ...more },
  value: typeof value === "string" ? Buffer.from(value) : value,
});
const reasonOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof CommandRefused) return error.reason;
    throw error;
  }
  return "accepted";
};

it("reads what is asked for, by whom it says it is", () => {
  const { id, time, tokenId, request } = readCommand(message());
  expect({ id, time: time.getTime(), tokenId }).toEqual({ id: "c-1", time: now, tokenId: "tk-0123456789" });
  expect(request).toMatchObject({ deckyName: "web-01", action: "add", serviceConfig: { port: 22 }, expectedRevision: 3 });
});

it.each<[what: string, message: CommandMessage, reason: string]>([
  ["nothing in it", message({}, null), "REQUEST_INVALID"],
  ["an empty value", message({}, ""), "REQUEST_INVALID"],
  ["more than is allowed", message({}, JSON.stringify({ reason: "x".repeat(70_000) })), "REQUEST_INVALID"],
  ["no JSON", message({}, "{"), "REQUEST_INVALID"],
  ["a list", message({}, "[]"), "REQUEST_INVALID"],
  ["null", message({}, "null"), "REQUEST_INVALID"],
  ["no UTF-8", message({}, Buffer.from([0x7b, 0xff, 0x7d])), "REQUEST_INVALID"],
  ["an unknown field", message({}, '{"decky":"web-01"}'), "REQUEST_INVALID"],
  ["a field twice", message({}, '{"action":"add","action":"remove"}'), "REQUEST_INVALID"],
  ["a field of another type", message({}, '{"merge":"yes"}'), "REQUEST_INVALID"],
  ["deep nesting", message({}, `{"service_config":${'{"a":'.repeat(9_000)}1${"}".repeat(9_000)}}`), "REQUEST_INVALID"],
  ["another event", message({ ce_type: "decnet.decky.state.v1" }), "REQUEST_INVALID"],
  ["another version", message({ ce_type: "decnet.decky.mutate_request.v2" }), "REQUEST_INVALID"],
  ["no CloudEvent", message({ ce_specversion: "" }), "REQUEST_INVALID"],
  ["no id", message({ ce_id: "" }), "REQUEST_INVALID"],
  ["an id of several lines", message({ ce_id: "a\nb" }), "REQUEST_INVALID"],
  ["a time without its offset", message({ ce_time: "2026-01-01T12:00:00" }), "REQUEST_INVALID"],
  ["a day that is none", message({ ce_time: "2026-13-01T12:00:00Z" }), "REQUEST_INVALID"],
  ["no token", message({ "decnet-token": "" }), "UNAUTHENTICATED"],
])("refuses %s", (_what, given, reason) => expect(reasonOf(() => readCommand(given))).toBe(reason));

const signed = (given: CommandMessage, by = key): CommandMessage => ({
  ...given,
  headers: { ...given.headers, "decnet-signature": signatureOf(given, by) },
});

it.each<[what: string, message: CommandMessage, key: string | undefined, at: number, reason: string]>([
  ["its own signature", signed(message()), key, now, "accepted"],
  ["no signature", message(), key, now, "UNAUTHENTICATED"],
  ["a signature that is none", message({ "decnet-signature": "00" }), key, now, "UNAUTHENTICATED"],
  ["the signature of another key", signed(message(), "cd".repeat(32)), key, now, "UNAUTHENTICATED"],
  ["a token that nobody has", signed(message()), undefined, now, "UNAUTHENTICATED"],
  ["an hour of age", signed(message()), key, now + 3_600_000, "accepted"],
  ["more than an hour of age", signed(message()), key, now + 3_600_001, "TOO_OLD"],
  ["a time to come", signed(message()), key, now - 300_001, "TOO_OLD"],
])("a message with %s", (_what, given, signer, at, reason) => {
  expect(reasonOf(() => verifyCommand(given, readCommand(given), signer, at))).toBe(reason);
});

it.each<[what: string, change: (given: CommandMessage) => CommandMessage]>([
  ["id", ({ value, headers: of }) => ({ value, headers: { ...of, ce_id: "c-2" } })],
  ["time", ({ value, headers: of }) => ({ value, headers: { ...of, ce_time: "2026-01-01T12:00:01Z" } })],
  ["value", ({ headers: of }) => ({ headers: of, value: Buffer.from(JSON.stringify({ ...asked, action: "remove" })) })],
])("a signature does not hold for another %s", (_what, change) => {
  const given = change(signed(message()));
  expect(reasonOf(() => verifyCommand(given, readCommand(given), key, now))).toBe("UNAUTHENTICATED");
});
