import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containersOf, deployBeside, dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

/** Every shape that a container of the catalog can have: volumes, secrets, memory folders, users, with and without settings. */
describe("a fleet at rest", () => {
  let master: TestMaster;

  beforeAll(async () => {
    master = await useMaster();
    await deployBeside(master, "usual", { ssh: {}, telnet: {}, ftp: {}, http: {}, redis: {} });
    await deployBeside(master, "set", {
      ssh: { user: "j", password: "$HOME $X %d", hostname: "SRV" },
      http: { custom_body: "<p>\n$$ü</p>", fake_app: "tomcat" },
      redis: { password: "s", maxmemory_mb: 8 },
      ftp: { banner: "a  b'\"\\" },
    });
  }, 180_000);
  afterAll(() => master.dispose());

  const seenAt = async (name: string) => (await master.fleet.getDecky({ decky: { name } })).decky?.observedAt?.seconds ?? 0n;

  /** So many drift checks find nothing to do, to say or to write. */
  const expectQuiet = async () => {
    const deckies = ["usual", "set"].map((name) => ({ name: `${master.prefix}-${name}` }));
    const state = async () => {
      const { operations } = await master.operations.listOperations({ pageSize: 1_000 });
      const seen = await Promise.all(deckies.map((decky) => master.fleet.getDecky({ decky })));
      const said = seen.map(({ decky }) => [decky?.state, decky?.message]);
      return { operations: operations.map(({ id }) => id), said, containers: await containersOf(master.prefix) };
    };
    const before = await state();
    const from = await seenAt(`${master.prefix}-usual`);
    await eventually(async () => (await seenAt(`${master.prefix}-usual`)) > from + 3n, 30_000);
    expect(await state()).toEqual(before);
  };

  it("is left alone, however often it is looked at", async () => {
    await expectQuiet();
  });

  it("is left alone by a master that was started again, and by one that does not know what was made", async () => {
    await master.restart();
    await expectQuiet();
    await master.restart(async () => void (await execa("rm", ["-r", `${master.config.dataDir}/made`])));
    await expectQuiet();
  });

  it("is left alone after its containers were started again by hand", async () => {
    const services = (await dockerLines(["ps", "--format", "{{.Names}}", "--filter", `name=^/${master.prefix}`])).filter((name) =>
      /-(redis|http)$/.test(name),
    );
    await execa("docker", ["restart", "-t", "1", ...services]);
    // What was seen before they were all back is no rest.
    const back = BigInt(Math.ceil(Date.now() / 1_000));
    await eventually(async () => {
      const { deckies } = await master.fleet.listDeckies({ pageSize: 10 });
      return deckies.every(({ message, observedAt }) => message === "" && (observedAt?.seconds ?? 0n) > back);
    });
    await expectQuiet();
  });
});
