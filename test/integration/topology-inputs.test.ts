import { create, toJsonString } from "@bufbuild/protobuf";
import { formatFile, toFile } from "@decnet/cli/documents/topology-file";
import { UsageError } from "@decnet/cli/usage-error";
import { fromConnectError } from "@decnet/common/rpc/errors";
import { OperationKind, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { GetTopologyResponseSchema, TopologyFileSchema, TopologyState } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { corpFile, reasonOf, type TopologyFiles, useTopologyFiles } from "../support/topology-files.ts";
import type { TestMaster } from "../support/use-master.ts";

/** The same numbers for the same seed. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** What nobody would write. */
const hostile = [
  "",
  "~",
  "-1",
  "../../etc",
  "a/b",
  "'x y'",
  "[1, 2]",
  "{a: b}",
  "999.1.1.1",
  "10.231.0.0/33",
  "127.0.0.0/8",
  "10.231.1.2",
  "ff:ff:ff:ff:ff:ff",
  "01:00:5e:00:00:01",
  '"\\u0000"',
  '"\\ud800"',
  "&a [*a]",
  "*nobody",
  "!!binary x",
  "core",
  "dmz",
  "inner",
  "x".repeat(70),
  "fleet",
  "smtp",
  "nosuchservice",
  "true",
];

function mutate(text: string, random: (below: number) => number): string {
  const lines = text.split("\n");
  for (let times = random(3) + 1; times > 0; times -= 1) {
    const at = random(lines.length);
    const line = lines[at] ?? "";
    const value = hostile[random(hostile.length)] ?? "";
    const ways = [
      () => lines.splice(at, 1),
      () => lines.splice(at, 0, line),
      () => lines.splice(at, 1, line.replace(/: .*/, `: ${value}`)),
      () => lines.splice(at, 1, line.replace(/- .*/, `- ${value}`)),
      () => lines.splice(at, 1, ` ${line}`),
      () => lines.splice(at, 1, line.replace(/^ {2}/, "")),
      () => lines.splice(at, 0, `${/^ */.exec(line)?.[0] ?? ""}unknown: ${value}`),
      () => lines.splice(random(lines.length), 0, ...lines.splice(at, random(6))),
    ];
    ways[random(ways.length)]?.();
  }
  return lines.join("\n");
}

describe("what is asked of topologies", () => {
  let given: TopologyFiles;
  let master: TestMaster;
  const name = (suffix: string) => given.name(suffix);
  const read = (topology: string) => given.read(topology);
  const importOf: TopologyFiles["importOf"] = (...asked) => given.importOf(...asked);
  const designOf: TopologyFiles["designOf"] = (text) => given.designOf(text);

  beforeAll(async () => {
    given = await useTopologyFiles();
    master = given.master;
  });
  afterAll(() => given?.dispose());

  it("makes the same topology from its own file", async () => {
    await importOf(corpFile, name("first"));
    const first = await read(name("first"));
    expect(first.lans.map(({ subnet, isDmz }) => [subnet, isDmz])).toEqual([
      ["10.231.0.0/24", true],
      ["10.231.1.0/24", false],
    ]);
    const exported = formatFile(toFile(first), {});
    await master.topologies.deleteTopology({ topology: name("first") });
    await importOf(exported, name("first"));
    const again = await read(name("first"));
    expect(toFile(again)).toEqual(toFile(first));
    expect(toFile(first)).toEqual(
      create(TopologyFileSchema, { ...(await designOf(corpFile)), name: name("first"), host: "local" }),
    );
    await master.topologies.deleteTopology({ topology: name("first") });
  });

  it("names everything that is wrong with a design, each with its place", async () => {
    const design = {
      lans: [{ name: "dmz", subnet: "10.231.0.0/33", isDmz: true }, { name: "core" }, { name: "core" }],
      deckies: [
        { name: "A", attachments: [{ lan: "core", ip: "1.2.3.4" }] },
        { name: "b", services: [{ slug: "http" }, { slug: "nosuch" }], attachments: [{ lan: "gone" }] },
      ],
    };
    const error = await master.topologies.createTopology({ name: name("bad"), design }).catch(fromConnectError);
    expect(error).toMatchObject({ reason: "TOPOLOGY_INVALID" });
    expect((error as ReturnType<typeof fromConnectError>).violations.map(({ field }) => field).sort()).toEqual([
      "design.deckies[0].attachments",
      "design.deckies[0].name",
      "design.deckies[1].attachments[0].lan",
      "design.deckies[1].services[1]",
      "design.lans[0].subnet",
      "design.lans[2].name",
    ]);
    expect(await reasonOf(read(name("bad")))).toBe("TOPOLOGY_NOT_FOUND");
  });

  it("refuses or takes 250 files that nobody would write, whole or not at all", async () => {
    const random = createRandom(7);
    const reasons = new Map<string, number>();
    const count = (reason: string) => reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    const stored = async () => (await master.topologies.listTopologies({})).topologies.length;
    const before = await stored();
    for (let round = 0; round < 250; round += 1) {
      const text = mutate(corpFile, random);
      try {
        const { topology } = await importOf(text, name(`fuzz-${round}`));
        await master.topologies.deleteTopology({ topology: topology?.id ?? "" });
        count("taken");
      } catch (error) {
        const reason = error instanceof UsageError ? "file" : fromConnectError(error).reason;
        expect(["file", "TOPOLOGY_INVALID", "REQUEST_INVALID"], text).toContain(reason);
        count(reason);
      }
    }
    expect(await stored()).toBe(before);
    for (const reason of ["taken", "file", "TOPOLOGY_INVALID"]) expect(reasons.get(reason) ?? 0, reason).toBeGreaterThan(5);
  });

  it("refuses or makes 250 edits that nobody would ask for; a refused one changes nothing", async () => {
    const topology = name("edits");
    await importOf(corpFile, topology);
    const random = createRandom(11);
    const words = ["dmz", "core", "gateway", "inner", "new", ...hostile.map((text) => text.replaceAll(/["']/g, ""))];
    const word = () => words[random(words.length)] ?? "";
    const maybe = <T>(value: T): T | undefined => (random(2) === 0 ? value : undefined);
    const { topologies } = master;
    const services = () => [{ slug: ["ssh", "http", word()][random(3)] ?? "", config: random(3) === 0 ? { user: word() } : {} }];
    const place = () => ({ lan: word(), ip: random(2) === 0 ? "" : word(), mac: random(4) === 0 ? word() : "" });
    const version = () => (random(6) === 0 ? { expectedVersion: random(4) } : {});
    const edits: readonly (() => Promise<unknown>)[] = [
      () => topologies.addLan({ topology, name: word(), subnet: random(2) === 0 ? "" : word(), ...version() }),
      () =>
        topologies.updateLan({
          topology,
          name: word(),
          ...(random(2) === 0 ? { newName: word() } : {}),
          ...(random(2) === 0 ? { subnet: word() } : {}),
          ...version(),
        }),
      () => topologies.removeLan({ topology, name: word(), ...version() }),
      () =>
        topologies.addDecky({ topology, name: word(), services: services(), attachments: [place(), place()].slice(random(3)) }),
      () =>
        topologies.updateDecky({ topology, name: word(), archetype: maybe(word()) ?? "", services: { services: services() } }),
      () => topologies.removeDecky({ topology, name: word(), ...version() }),
      () => topologies.attachDecky({ topology, name: word(), attachment: place(), ...version() }),
      () => topologies.detachDecky({ topology, name: word(), lan: word(), ...version() }),
    ];
    const snapshot = async () => toJsonString(GetTopologyResponseSchema, await topologies.getTopology({ topology }));
    let before = await snapshot();
    let refused = 0;
    for (let round = 0; round < 250; round += 1) {
      const reason = await reasonOf(edits[random(edits.length)]?.() ?? expect.fail());
      const after = await snapshot();
      expect(reason, `edit ${round}`).not.toBe("INTERNAL");
      if (reason !== "") refused += 1;
      if (reason !== "") expect(after).toBe(before);
      before = after;
    }
    expect(refused).toBeGreaterThan(50);
    expect(refused).toBeLessThan(250);
    expect(await reasonOf(topologies.validateTopology({ topology }))).toBe("");
    await topologies.deleteTopology({ topology });
  });

  describe("calls that are sent twice", () => {
    it("create one topology, also when both come at once", async () => {
      const wanted = { name: name("once"), withDmz: true, options: { requestId: `${name("once")}-1`, reason: "ticket 1" } };
      const made = await Promise.all([master.topologies.createTopology(wanted), master.topologies.createTopology(wanted)]);
      const again = await master.topologies.createTopology(wanted);
      expect(new Set([...made, again].map(({ topology }) => topology?.id)).size).toBe(1);
      expect(new Set([...made, again].map(({ operation }) => operation?.id)).size).toBe(1);
      expect(again.operation).toMatchObject({ kind: OperationKind.CREATE_TOPOLOGY, state: OperationState.SUCCEEDED });
      expect(await reasonOf(master.topologies.createTopology({ ...wanted, name: name("twice") }))).toBe("REQUEST_ID_REUSED");
      expect(await reasonOf(master.topologies.createTopology({ ...wanted, options: {} }))).toBe("TOPOLOGY_INVALID");
    });

    it("generate one topology, and forget it once", async () => {
      const wanted = { name: name("drawn"), settings: { seed: 7, lans: 3, deckies: 5 }, options: { requestId: name("drawn") } };
      const [one, two] = [await master.topologies.generateTopology(wanted), await master.topologies.generateTopology(wanted)];
      expect(two.topology).toEqual(one.topology);
      const other = { ...wanted, settings: { ...wanted.settings, seed: 8 } };
      expect(await reasonOf(master.topologies.generateTopology(other))).toBe("REQUEST_ID_REUSED");
      const forget = { topology: name("drawn"), options: { requestId: `${name("drawn")}-gone` } };
      const gone = await master.topologies.deleteTopology(forget);
      expect(gone.operation).toMatchObject({ kind: OperationKind.DELETE_TOPOLOGY, topology: name("drawn") });
      expect((await master.topologies.deleteTopology(forget)).operation?.id).toBe(gone.operation?.id);
      expect(await master.topologies.generateTopology(wanted)).toMatchObject({ operation: { id: one.operation?.id } });
    });

    it("only tell what they would do in a dry run", async () => {
      const wanted = { name: name("dry"), withDmz: true, options: { dryRun: true } };
      const { topology, operation } = await master.topologies.createTopology(wanted);
      expect(topology).toBeUndefined();
      expect(operation).toMatchObject({ id: "", plan: { text: expect.stringContaining("with 1 LANs and 1 deckies") } });
      expect(await reasonOf(read(name("dry")))).toBe("TOPOLOGY_NOT_FOUND");
      await master.topologies.createTopology({ ...wanted, options: {} });
      const forget = { topology: name("dry"), options: { dryRun: true } };
      expect((await master.topologies.deleteTopology(forget)).operation?.id).toBe("");
      expect((await read(name("dry"))).state).toBe(TopologyState.PENDING);
    });
  });

  it("is not deployed while something is wrong with it", async () => {
    await master.topologies.createTopology({ name: name("unfinished") });
    expect(await reasonOf(master.topologies.deployTopology({ topology: name("unfinished") }))).toBe("TOPOLOGY_UNDEPLOYABLE");
    expect((await read(name("unfinished"))).state).toBe(TopologyState.PENDING);
  });
});
