import { describe, expect, it } from "vitest";
import { noSockets, type ObservedContainer, type ObservedDecky } from "../observe/observed.ts";
import type { Plan, Step } from "../plan/plan.ts";
import { beginReceipt, joinReceipts, makeReceipt, type Receipt } from "./receipt.ts";

const container = (name: string, id: string, more: Partial<ObservedContainer> = {}): ObservedContainer => ({
  id,
  name,
  role: "service",
  service: name.replace("web-", ""),
  hash: "",
  catalog: "",
  status: "running",
  exitCode: 0,
  startedAt: "t0",
  restartCount: 0,
  pid: 1,
  netns: "n",
  joined: "B",
  ...more,
});
const decky = (...containers: ObservedContainer[]): ObservedDecky => ({
  scope: "fleet",
  name: "web",
  containers,
  sockets: noSockets,
});
const planOf = (...names: string[]): Pick<Plan, "steps"> => ({
  steps: names.map((name, index): Step => {
    return { verb: "recreate", target: name, service: "", container: name, cause: "", number: index + 1 };
  }),
});
/** `ssh created (planned)` */
const format = ({ containers, othersUnchanged }: Receipt) => [
  ...containers.map(({ service: slug, verdict, planned }) => `${slug} ${verdict}${planned ? " (planned)" : ""}`),
  `others unchanged: ${othersUnchanged}`,
];

const was = container("web-ssh", "S");

describe("a receipt says what happened to a container", () => {
  it.each<readonly [string, ObservedContainer[], ObservedContainer[], string[], string[]]>([
    ["nothing", [was], [was], [], ["ssh unchanged", "others unchanged: true"]],
    ["it is new", [], [was], ["web-ssh"], ["ssh created (planned)", "others unchanged: true"]],
    ["another id", [was], [container("web-ssh", "T")], ["web-ssh"], ["ssh recreated (planned)", "others unchanged: true"]],
    [
      "another start time",
      [was],
      [container("web-ssh", "S", { startedAt: "t1" })],
      ["web-ssh"],
      ["ssh restarted (planned)", "others unchanged: true"],
    ],
    [
      "restarted by the engine meanwhile, which nobody planned",
      [was],
      [container("web-ssh", "S", { restartCount: 1 })],
      [],
      ["ssh restarted", "others unchanged: false"],
    ],
    ["it is gone", [was], [], ["web-ssh"], ["ssh removed (planned)", "others unchanged: true"]],
    ["gone, which nobody planned", [was], [], [], ["ssh removed", "others unchanged: false"]],
    [
      "one of two",
      [was, container("web-ftp", "F")],
      [container("web-ssh", "T"), container("web-ftp", "F")],
      ["web-ssh"],
      ["ssh recreated (planned)", "ftp unchanged", "others unchanged: true"],
    ],
  ])("%s", (_, before, after, planned, text) => {
    expect(format(makeReceipt(planOf(...planned), decky(...before), decky(...after)))).toEqual(text);
  });
});

describe("a receipt of work that took several runs", () => {
  const begun = beginReceipt(planOf("web-ssh", "web-ftp"), decky(was, container("web-http", "H")));

  it("begins with how everything was before the first", () => {
    expect(begun.containers.map(({ name, before, after, planned }) => [name, before?.id, after?.id, planned])).toEqual([
      ["web-ssh", "S", undefined, true],
      ["web-http", "H", undefined, false],
      ["web-ftp", undefined, undefined, true],
    ]);
  });

  it("compares that with how it is after the last", () => {
    const after = decky(container("web-ssh", "T"), container("web-http", "H"));
    const last = makeReceipt(planOf(), after, after);
    expect(format(last)).toEqual(["ssh unchanged", "http unchanged", "others unchanged: true"]);
    expect(format(joinReceipts(begun, last))).toEqual(["ssh recreated (planned)", "http unchanged", "others unchanged: true"]);
  });

  it("tells of a neighbour that changed between the runs", () => {
    const after = decky(was, container("web-http", "I"));
    expect(format(joinReceipts(begun, makeReceipt(planOf(), after, after)))).toEqual([
      "ssh unchanged (planned)",
      "http recreated",
      "others unchanged: false",
    ]);
  });
});
