import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deploy, type TestMaster, useMaster } from "../support/use-master.ts";

describe("lists", () => {
  let master: TestMaster;

  afterAll(() => master.dispose());

  beforeAll(async () => {
    master = await useMaster();
    await deploy(master, { a: ["redis"], b: ["redis", "ftp"], c: ["ftp"] });
  });

  const names = async (filter: string) =>
    (await master.fleet.listDeckies({ filter })).deckies.map((decky) => decky.ref?.name.slice(master.prefix.length + 1));

  it.each([
    ["", ["a", "b", "c"]],
    ["service=redis", ["a", "b"]],
    ["service!=redis", ["c"]],
    ["service=re*,service=ft*", ["b"]],
    ["state=running", ["a", "b", "c"]],
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

  it("a page behind the end is empty, and the counts stay", async () => {
    const page = await master.fleet.listDeckies({ pageSize: 2, pageToken: "50" });
    expect(page).toMatchObject({ deckies: [], counts: { running: 3 }, nextPageToken: "" });
  });

  it("operations come newest first, filtered and counted", async () => {
    const all = await master.operations.listOperations({});
    expect(all.counts).toEqual({ succeeded: 4 });
    const parent = all.operations.find((operation) => operation.children.length > 0 || operation.parent === "")?.id;
    const parts = await master.operations.listOperations({ filter: `parent=${parent},kind=deploy_decky`, pageSize: 2 });
    expect(parts.counts).toEqual({ succeeded: 3 });
    expect(parts.operations).toHaveLength(2);
    expect(parts.nextPageToken).toBe("2");
    expect((await master.operations.listOperations({ filter: "parent=" })).operations.map((each) => each.id)).toEqual([parent]);
  });

  it.each(["colour=red", "state", "state=a=b", "name=a\u0000b"])("the filter %j is refused", async (filter) =>
    expect(master.fleet.listDeckies({ filter })).rejects.toThrow(/filter/),
  );
});
