import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { fillStep, holesOf, type NextStep, quote, readStep, renderStep } from "./next-steps.ts";
import { isReason, metadataKeys, nextSteps, reasons, renderNextSteps } from "./reasons.ts";

const entries = Object.entries(reasons).map(([name, entry]) => ({ name, ...entry, next: entry.next as readonly NextStep[] }));

describe.each(entries)("$name", ({ code, exit, next }) => {
  it("has a code, an exit code that the command line explains, and a next step", () => {
    expect(Code[code]).toBeDefined();
    expect([1, 2, 3, 4, 5, 6, 7, 9]).toContain(exit);
    expect(next).not.toEqual([]);
  });

  it("names metadata that an error can carry", () => {
    expect(next.flatMap(holesOf).filter((key) => !Object.hasOwn(metadataKeys, key))).toEqual([]);
  });

  it("reads the same after a way over the wire", () => {
    const metadata = Object.fromEntries(Object.keys(metadataKeys).map((key) => [key, `some-${key}`]));
    const filled = next.map((step) => fillStep(step, metadata));
    expect(filled.map((step) => readStep(renderStep(step!)))).toEqual(filled);
  });
});

it("fills the holes of a step from metadata, and leaves out a step that it cannot fill", () => {
  expect(nextSteps("SERVICE_NOT_PRESENT", { decky: "web-01" })).toEqual([{ command: ["decky", "get", "web-01"] }]);
  expect(nextSteps("SERVICE_NOT_PRESENT", { decky: "web-01", service: "ssh" })).toHaveLength(2);
  expect(nextSteps("SERVICE_NOT_PRESENT", {})).toEqual([]);
});

it.each<[string, string[], string[]]>([
  ["a command", renderNextSteps("HOST_UNREACHABLE", { host: "edge-1" }), ["decnet host get edge-1", "decnet status"]],
  ["advice", renderNextSteps("SHUTTING_DOWN", {}), ["Try again in a moment."]],
  [
    "advice before a command",
    renderNextSteps("WAIT_ENDED", { operation: "op-1" }),
    ["The operation goes on: decnet op watch op-1"],
  ],
  [
    "a command of a program by another name",
    renderNextSteps("WAIT_ENDED", { operation: "op-1" }, "./decnet"),
    ["The operation goes on: ./decnet op watch op-1"],
  ],
  [
    "a value that a shell would act on, quoted",
    renderNextSteps("CONFIG_INVALID", { service: "$(reboot)'s" }),
    ["decnet catalog get '$(reboot)'\\''s'"],
  ],
])("renders %s", (_, lines, expected) => expect(lines).toEqual(expected));

it.each<[string, NextStep]>([
  ["decnet catalog get '$(reboot)'\\''s'", { command: ["catalog", "get", "$(reboot)'s"] }],
  ["Look: twice: decnet op list", { advice: "Look: twice", command: ["op", "list"] }],
  ["Install the master's version of decnet on the worker.", { advice: "Install the master's version of decnet on the worker." }],
  ["", { advice: "" }],
])("reads %j as data", (line, step) => expect(readStep(line)).toEqual(step));

it("quotes as a shell reads", () => {
  expect([quote("a-b.c"), quote("$(x)"), quote("it's")]).toEqual(["a-b.c", "'$(x)'", "'it'\\''s'"]);
});

it("knows its own names, and no others", () => {
  expect(["INTERNAL", "NO_SUCH_REASON", "toString"].map(isReason)).toEqual([true, false, false]);
});
