import type { LogLine } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deploy, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

describe("logs that are followed", () => {
  let master: TestMaster;
  let decky: { name: string };
  let container: string;

  beforeAll(async () => {
    master = await useMaster();
    decky = { name: `${master.prefix}-a` };
    container = `${decky.name}-http`;
    await deploy(master, { a: ["http"] });
  });
  afterAll(() => master.dispose());

  const write = (text: string) => execa("docker", ["exec", container, "sh", "-c", `echo ${text} > /proc/1/fd/1`]);
  const ours = (lines: readonly LogLine[]) => lines.map(({ text }) => text).filter((text) => /^mark-\d+$/.test(text));

  it("go on across restarts, new containers, and a service that is removed and added again; each line comes once", async () => {
    const lines: LogLine[] = [];
    const end = new AbortController();
    const read = async () => {
      const request = { decky, service: "http", follow: true, tail: 1 };
      for await (const { lines: more } of master.fleet.streamLogs(request, { signal: end.signal })) lines.push(...more);
    };
    const reading = read().catch(() => undefined);
    const mark = async (number: number) => {
      await write(`mark-${number}`);
      await eventually(async () => ours(lines).includes(`mark-${number}`));
    };
    const containers = () => new Set(lines.filter(({ containerChanged }) => containerChanged).map((line) => line.container));

    await mark(1);
    await execa("docker", ["restart", "-t", "1", container]);
    await mark(2);
    await master.mutations.updateServiceConfig({ decky, service: "http", config: { server_header: "IIS" }, apply: true });
    await mark(3);
    expect(containers().size).toBe(1);
    await master.mutations.removeService({ decky, service: "http" });
    await master.mutations.addService({ decky, service: "http" });
    await mark(4);
    expect(containers().size).toBe(2);

    end.abort();
    await reading;
    expect(ours(lines)).toEqual(["mark-1", "mark-2", "mark-3", "mark-4"]);
    const changes = lines.filter(({ containerChanged }) => containerChanged);
    expect(changes.map(({ text }) => text)).toEqual([
      expect.stringMatching(/^container \w{12} was replaced by \w{12}$/),
      expect.stringMatching(/^container \w{12} was replaced by \w{12}$/),
    ]);
    expect(lines.at(-1)?.container).toBe(changes.at(-1)?.container);
  });

  it("end with the decky", async () => {
    const read = async () => {
      for await (const _ of master.fleet.streamLogs({ decky, service: "http", follow: true }));
      return "ended";
    };
    const reading = read();
    await master.fleet.teardownDecky({ decky });
    expect(await reading).toBe("ended");
  });
});
