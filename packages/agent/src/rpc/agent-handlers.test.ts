import { createClient, createRouterTransport } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { AgentService, type DeckyOutcome } from "@decnet/contract/gen/decnet/v1/agent_pb";
import { beforeEach, expect, it } from "vitest";
import { type AgentParts, createAgentHandlers } from "./agent-handlers.ts";

const receipt = { othersUnchanged: true, containers: [] };
const plan = { steps: [], untouched: [], risks: [], digest: "d" };
const judged = { state: "running", message: "", baseId: "b", services: [] } as const;

let told: string[];
let finish: () => void;
let runs: Promise<void>;

/** A handler whose only apply says its plan at once and its outcome when the test says so. */
function client() {
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const unused = () => expect.fail("nothing but an apply is asked for");
  const runner: AgentParts["runner"] = {
    plan: unused,
    remove: unused,
    async apply({ spec: { name } }, { onPlan }) {
      if (name === "refused") throw new AppError("REVISION_CONFLICT", "it comes too late");
      onPlan(plan);
      runs = finished;
      await finished;
      return { plan, receipt, judged, failure: undefined };
    },
  };
  const note = (what: string) => (outcome: DeckyOutcome) => void told.push(`${what} ${outcome.decky?.name}`);
  const outcomes = { noteOutcome: note("told"), forgetOutcome: note("not told") };
  const parts: AgentParts = {
    runner,
    outcomes,
    catalog: { services: new Map(), digest: "" },
    engine: {
      check: unused,
      prepareImages: unused,
      logs: unused,
      inspectLan: unused,
      hostSubnets: unused,
      orphans: unused,
      removeOrphans: unused,
    },
    specs: { get: unused, list: unused },
    hostId: "h",
    hostName: unused,
    engineVersions: unused,
    isConnected: unused,
    queuedReports: unused,
    stopping: new AbortController().signal,
  };
  return createClient(
    AgentService,
    createRouterTransport((router) => router.service(AgentService, createAgentHandlers(parts))),
  );
}

const spec = {
  ref: { name: "a" },
  id: "1f",
  revision: 1,
  hostname: "web-1",
  distro: "debian",
  osFamily: "linux",
  lan: { name: "lan", subnet: "10.0.0.0/24", gateway: "10.0.0.1", driver: 1 },
  ip: "10.0.0.7",
  mac: "02:00:00:00:00:07",
};

beforeEach(() => {
  told = [];
});

it("an outcome that the caller took counts as told", async () => {
  const items: (string | undefined)[] = [];
  for await (const { item } of client().applyDeckies({ deckies: [spec] })) {
    items.push(item.case);
    finish();
  }
  expect(items).toEqual(["plan", "outcome"]);
  expect(told).toEqual(["told a"]);
});

it("an outcome that the caller took together with others counts as told", async () => {
  const messages: string[] = [];
  const deckies = [spec, { ...spec, ref: { name: "b" } }];
  for await (const message of client().applyDeckies({ deckies, gathered: true })) {
    messages.push([message, ...message.more].map(({ decky, item }) => `${item.case} of ${decky?.name}`).join(", "));
    finish();
  }
  expect(messages).toEqual(["plan of a, plan of b", "outcome of a, outcome of b"]);
  expect(told).toEqual(["told a", "told b"]);
});

it("an outcome that comes when the caller is gone does not", async () => {
  const caller = new AbortController();
  const call = async () => {
    for await (const { item } of client().applyDeckies({ deckies: [spec] }, { signal: caller.signal }))
      if (item.case === "plan") caller.abort();
  };
  await expect(call()).rejects.toThrow();
  finish();
  await runs;
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toEqual([]);
});

it("one decky that is refused keeps nobody from hearing what becomes of the others", async () => {
  const deckies = [{ ...spec, ref: { name: "refused" } }, spec];
  const heard: (string | undefined)[] = [];
  const call = async () => {
    for await (const { decky, item } of client().applyDeckies({ deckies })) {
      heard.push(`${item.case} of ${decky?.name}`);
      finish();
    }
  };
  await expect(call()).rejects.toThrow();
  expect(heard).toEqual(["plan of a", "outcome of a"]);
});
