import { Code } from "@connectrpc/connect";
import type { ListDeckiesResponse } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deploy, type TestMaster, useMaster } from "../support/use-master.ts";

describe("lists", () => {
  let master: TestMaster;

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster();
    await deploy(master, { a: ["redis"], b: ["redis", "ftp"], c: ["ftp"] });
  });

  const shortNames = ({ deckies }: Pick<ListDeckiesResponse, "deckies">) =>
    deckies.map((decky) => decky.ref?.name.slice(master.prefix.length + 1));
  const names = async (filter: string) => shortNames(await master.fleet.listDeckies({ filter }));

  it.each([
    ["", ["a", "b", "c"]],
    ["service=redis", ["a", "b"]],
    ["service!=redis", ["c"]],
    ["service=re*,service=ft*", ["b"]],
    ["state=running", ["a", "b", "c"]],
    ["state=DECKY_STATE_RUNNING", ["a", "b", "c"]],
    ["state=RUNNING", ["a", "b", "c"]],
    ["state!=running", []],
    ["name=*-a", ["a"]],
    ["name!=*-a,host=loc*l", ["b", "c"]],
    ["name=%", []],
    ["name=t*_a", []],
    ["distro=debian,archetype=", ["a", "b", "c"]],
  ])("deckies that match %j are found by the database as people mean it", async (filter, found) =>
    expect(await names(filter)).toEqual(found),
  );

  it("pages hold each decky once, and the counts are those of all that match", async () => {
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await master.fleet.listDeckies({ filter: "service=redis", pageSize: 1, pageToken });
      expect(page.counts).toEqual({ running: 2 });
      expect(page.deckies).toHaveLength(1);
      seen.push(...page.deckies.map((decky) => decky.ref?.name ?? ""));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual([`${master.prefix}-a`, `${master.prefix}-b`]);
  });

  it("no decky is shown twice or left out when others come and go between two pages", async () => {
    const first = await master.fleet.listDeckies({ pageSize: 2 });
    expect(shortNames(first)).toEqual(["a", "b"]);
    await deploy(master, { "0": ["redis"], bb: ["redis"], b: ["redis", "ftp"], c: ["ftp"] });
    const second = await master.fleet.listDeckies({ pageSize: 2, pageToken: first.nextPageToken });
    expect(shortNames(second)).toEqual(["bb", "c"]);
    expect(second.nextPageToken).toBe("");
    await deploy(master, { a: ["redis"], b: ["redis", "ftp"], c: ["ftp"] });
  });

  it("operations, revisions and audit entries are paged in the same way", async () => {
    const decky = { name: `${master.prefix}-b` };
    const add = async () => {
      await master.mutations.addService({ decky, service: "http" });
      await master.mutations.removeService({ decky, service: "http" });
    };
    await add();
    const lists: Record<string, (pageToken: string) => Promise<{ ids: string[]; next: string }>> = {
      async operations(pageToken) {
        const page = await master.operations.listOperations({ pageSize: 3, pageToken });
        return { ids: page.operations.map(({ id }) => id), next: page.nextPageToken };
      },
      async revisions(pageToken) {
        const page = await master.fleet.listRevisions({ decky, pageSize: 2, pageToken });
        return { ids: page.revisions.map(({ number }) => String(number)), next: page.nextPageToken };
      },
      async audit(pageToken) {
        const page = await master.access.listAudit({ pageSize: 3, pageToken });
        return { ids: page.entries.map(({ at, action }) => `${at?.seconds}.${at?.nanos} ${action}`), next: page.nextPageToken };
      },
    };
    for (const list of Object.values(lists)) {
      const all: string[] = [];
      for (let token = ""; ; ) {
        const { ids, next } = await list(token);
        all.push(...ids);
        if (next === "") break;
        if (token === "") await add();
        token = next;
      }
      expect(new Set(all).size).toBe(all.length);
      const whole: string[] = [];
      for (let token = ""; ; ) {
        const { ids, next } = await list(token);
        whole.push(...ids);
        if (next === "") break;
        token = next;
      }
      // What came in between is newer than the first page, and nothing else is missing.
      expect(whole.slice(whole.length - all.length)).toEqual(all);
    }
  });

  it("a token of another list or filter, or a changed one, is refused", async () => {
    const { nextPageToken } = await master.fleet.listDeckies({ pageSize: 1 });
    const invalid = { code: Code.InvalidArgument };
    await expect(master.fleet.listDeckies({ pageToken: nextPageToken, filter: "state=running" })).rejects.toMatchObject(invalid);
    await expect(master.operations.listOperations({ pageToken: nextPageToken })).rejects.toMatchObject(invalid);
    await expect(master.fleet.listDeckies({ pageToken: `${nextPageToken}0` })).rejects.toMatchObject(invalid);
    await expect(master.fleet.listDeckies({ pageToken: "50" })).rejects.toMatchObject(invalid);
    expect((await master.fleet.listDeckies({ pageToken: nextPageToken, pageSize: 7 })).deckies).toHaveLength(2);
  });

  it("operations come newest first, filtered and counted", async () => {
    const all = await master.operations.listOperations({});
    const parent = all.operations.at(-1)?.parent || all.operations.at(-1)?.id;
    const parts = await master.operations.listOperations({ filter: `parent=${parent},kind=deploy_decky`, pageSize: 2 });
    expect(parts.counts).toEqual({ succeeded: 3 });
    expect(parts.operations).toHaveLength(2);
    expect(parts.nextPageToken).not.toBe("");
    const whole = await master.operations.listOperations({ filter: "parent=" });
    expect(whole.operations.at(-1)?.id).toBe(parent);
  });

  it.each(["colour=red", "state", "state=a=b", "name=a\u0000b", "state=runing", "state=", "state=HOST_STATE_RUNNING"])(
    "the filter %j is refused",
    async (filter) => expect(master.fleet.listDeckies({ filter })).rejects.toThrow(/filter/),
  );
});
