import { createClient, createRouterTransport } from "@connectrpc/connect";
import { AgentService } from "@decnet/contract/gen/decnet/v1/agent_pb";
import type { PresentTarget } from "@decnet/engine/wire/decky-spec";
import { beforeEach, describe, expect, it } from "vitest";
import { createGatheredApplies, type SharedApply } from "./gathered-applies.ts";

const lan = { driver: "bridge", name: "lan", subnet: "10.0.0.0/24", gateway: "10.0.0.1", parent: undefined } as const;
const target = (name: string, config: Record<string, string> = {}): PresentTarget => ({
  kind: "present",
  id: "1f",
  distro: "debian",
  spec: {
    ...{
      scope: "fleet",
      name,
      hostname: "web-1",
      baseImage: "debian",
      buildBase: "debian",
      osFamily: "linux",
      revision: 1,
      forwards: false,
    },
    attachments: [{ lan, ip: "10.0.0.7", mac: "02:00:00:00:00:07" }],
    services: [{ slug: "redis", config }],
  },
});

/** The deckies of each call, and how it ends: at once with an outcome for each unless it is said otherwise. */
let calls: string[][];
let endOf: Record<string, () => Promise<void>>;
let ended: string[];

const agent = () =>
  createClient(
    AgentService,
    createRouterTransport((router) =>
      router.service(AgentService, {
        async *applyDeckies({ deckies }, { signal }) {
          const names = deckies.map(({ ref }) => ref?.name ?? "");
          calls.push(names);
          signal.addEventListener("abort", () => ended.push(names.join(" ")));
          for (const { ref } of deckies) {
            await endOf[ref?.name ?? ""]?.();
            yield { decky: { name: ref?.name ?? "" }, item: { case: "plan", value: {} } };
            yield { decky: { name: ref?.name ?? "" }, item: { case: "outcome", value: {} } };
          }
        },
      }),
    ),
  );

describe("applies of one host", () => {
  let apply: (name: string, more?: Partial<SharedApply>) => Promise<string>;

  beforeEach(() => {
    [calls, endOf, ended] = [[], {}, []];
    const gathered = createGatheredApplies(agent());
    apply = async (name, more = {}) => {
      const told: string[] = [];
      const onItem: SharedApply["onItem"] = ({ case: kind }) => void told.push(kind ?? "");
      const shared = { target: target(name), onItem, signal: new AbortController().signal, ...more };
      const end = await gathered.apply(shared);
      return end.kind === "failed" ? `failed, ${end.wasAlone ? "alone" : "with others"}` : `${end.kind} ${told.join(", ")}`;
    };
  });
  const names = (count: number) => Array.from({ length: count }, (_, at) => `d${at}`);
  const never = () => new Promise<void>(() => undefined);
  const refused = () => Promise.reject(new Error("no"));

  it("that begin together share a call, and each is told what concerns it", async () => {
    expect(await Promise.all([apply("a"), apply("b")])).toEqual(["told plan, outcome", "told plan, outcome"]);
    expect(calls).toEqual([["a", "b"]]);
  });

  it("that begin later have a call of their own", async () => {
    await apply("a");
    await apply("b");
    expect(calls).toEqual([["a"], ["b"]]);
  });

  it("are sixteen in a call at the most", async () => {
    await Promise.all(names(17).map((name) => apply(name)));
    expect(calls).toEqual([names(16), ["d16"]]);
  });

  it("that are large share none", async () => {
    const large = { banner: "x".repeat(200_000) };
    await Promise.all(["a", "b"].map((name) => apply(name, { target: target(name, large) })));
    expect(calls).toEqual([["a"], ["b"]]);
  });

  it("are never of one decky twice in a call", async () => {
    await Promise.all([apply("a"), apply("a")]);
    expect(calls).toEqual([["a"], ["a"]]);
  });

  it("end with the call's error, which tells whether others were in it; what was told before stays", async () => {
    endOf["b"] = refused;
    expect(await Promise.all([apply("a"), apply("b")])).toEqual(["told plan, outcome", "failed, with others"]);
    expect(await apply("b")).toBe("failed, alone");
  });

  it("are not waited for once they are aborted, while the call goes on for the others", async () => {
    let go: () => void = () => undefined;
    const isFree = new Promise<void>((resolve) => {
      go = resolve;
    });
    endOf["a"] = () => isFree;
    const cancel = new AbortController();
    const [one, other] = [apply("a", { signal: cancel.signal }), apply("b")];
    await expect.poll(() => calls.length).toBe(1);
    cancel.abort(new Error("cancelled"));
    await expect(one).rejects.toThrow("cancelled");
    expect(ended).toEqual([]);
    go();
    expect(await other).toBe("told plan, outcome");
  });

  it("end their call when the last of them is aborted", async () => {
    endOf["a"] = never;
    const cancel = new AbortController();
    const both = [apply("a", { signal: cancel.signal }), apply("b", { signal: cancel.signal })];
    await expect.poll(() => calls.length).toBe(1);
    cancel.abort(new Error("cancelled"));
    for (const each of both) await expect(each).rejects.toThrow("cancelled");
    await expect.poll(() => ended).toEqual(["a b"]);
  });

  it("that are aborted before their call begins are not in it", async () => {
    const cancel = new AbortController();
    const [one, other] = [apply("a", { signal: cancel.signal }), apply("b")];
    cancel.abort(new Error("cancelled"));
    await expect(one).rejects.toThrow("cancelled");
    await other;
    expect(calls).toEqual([["b"]]);
  });

  it("whose listener fails end alone", async () => {
    const onItem = () => {
      throw new Error("no room");
    };
    const [one, other] = [apply("a", { onItem }), apply("b")];
    await expect(one).rejects.toThrow("no room");
    expect(await other).toBe("told plan, outcome");
  });

  it("hear what a worker tells of several in one message, and nothing that is inside of that", async () => {
    const asked: boolean[] = [];
    const told = (name: string, kind: "plan" | "outcome") => ({ decky: { name }, item: { case: kind, value: {} } });
    const gathered = createGatheredApplies(
      createClient(
        AgentService,
        createRouterTransport((router) =>
          router.service(AgentService, {
            async *applyDeckies({ gathered: isGathered }) {
              asked.push(isGathered);
              const nested = { ...told("b", "plan"), more: [told("a", "plan"), told("b", "plan")] };
              yield { ...told("a", "plan"), more: [nested, told("b", "outcome"), told("a", "outcome")] };
            },
          }),
        ),
      ),
    );
    const heard: string[] = [];
    const each = (name: string) => {
      const onItem: SharedApply["onItem"] = ({ case: kind }) => void heard.push(`${kind} of ${name}`);
      return gathered.apply({ target: target(name), onItem, signal: new AbortController().signal });
    };
    expect(await Promise.all([each("a"), each("b")])).toEqual([{ kind: "told" }, { kind: "told" }]);
    expect(heard).toEqual(["plan of a", "plan of b", "outcome of b", "outcome of a"]);
    expect(asked).toEqual([true]);
  });

  /** Ends only when the call is cut off. */
  const talking = (name: string) =>
    createGatheredApplies(
      createClient(
        AgentService,
        createRouterTransport((router) =>
          router.service(AgentService, {
            async *applyDeckies(_, { signal }) {
              signal.addEventListener("abort", () => ended.push(name));
              for (;;) yield { decky: { name }, item: { case: "plan", value: {} } };
            },
          }),
        ),
      ),
    );

  it("do not hear a worker that talks of others without an end", async () => {
    const { signal } = new AbortController();
    const gathered = talking("nobody");
    const both = ["a", "b"].map((name) => gathered.apply({ target: target(name), onItem: () => undefined, signal }));
    expect(await Promise.all(both)).toEqual([{ kind: "untold" }, { kind: "untold" }]);
    await expect.poll(() => ended).toEqual(["nobody"]);
  });

  it("end their call when the listener of the last of them fails", async () => {
    const { signal } = new AbortController();
    const onItem = () => {
      throw new Error("too much");
    };
    await expect(talking("a").apply({ target: target("a"), onItem, signal })).rejects.toThrow("too much");
    await expect.poll(() => ended).toEqual(["a"]);
  });
});
