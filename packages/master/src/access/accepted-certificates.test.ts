import { beforeEach, describe, expect, it } from "vitest";
import type { Host } from "../model/host.ts";
import { type AcceptedCertificates, createAcceptedCertificates } from "./accepted-certificates.ts";

const of = (hostId: string, serial: string) => ({ hostId, serial, number: 1, notAfter: new Date() });

describe("certificates of workers", () => {
  let accepted: AcceptedCertificates;
  let serials: Set<string>;
  let reads: number;
  /** Lets the store answer; set while it is to be slow. */
  let held: Promise<void> | undefined;

  beforeEach(() => {
    serials = new Set(["01"]);
    reads = 0;
    held = undefined;
    accepted = createAcceptedCertificates({
      async accepts({ hostId: id, serial }) {
        reads += 1;
        const row = serials.has(serial) ? ({ id, name: "edge" } as Host) : undefined;
        await held;
        return row;
      },
    });
  });

  it("are asked for once on each connection", async () => {
    const [first, second] = [{}, {}];
    for (let call = 0; call < 3; call += 1)
      expect(await accepted.accepts(first, of("h-1", "01"))).toEqual({ id: "h-1", name: "edge" });
    expect(reads).toBe(1);
    await accepted.accepts(second, of("h-1", "01"));
    expect(reads).toBe(2);
  });

  it("are refused every time, and asked for every time, while they do not count", async () => {
    const connection = {};
    for (let call = 0; call < 2; call += 1) expect(await accepted.accepts(connection, of("h-1", "02"))).toBeUndefined();
    expect(reads).toBe(2);
  });

  it("are asked for again after a change, on every connection of that host, and of no other", async () => {
    const [mine, others] = [{}, {}];
    await accepted.accepts(mine, of("h-1", "01"));
    await accepted.accepts(others, of("h-2", "01"));
    serials.clear();
    accepted.forget("h-1");
    expect(await accepted.accepts(mine, of("h-1", "01"))).toBeUndefined();
    expect(await accepted.accepts(others, of("h-2", "01"))).toMatchObject({ id: "h-2" });
    expect(reads).toBe(3);
  });

  it("that are revoked while they are read are asked for again", async () => {
    const connection = {};
    let goOn: () => void = () => undefined;
    held = new Promise((resolve) => {
      goOn = resolve;
    });
    const early = accepted.accepts(connection, of("h-1", "01"));
    serials.clear();
    accepted.forget("h-1");
    goOn();
    await early;
    expect(await accepted.accepts(connection, of("h-1", "01"))).toBeUndefined();
  });

  it("are asked for when a connection shows another one", async () => {
    const connection = {};
    await accepted.accepts(connection, of("h-1", "01"));
    expect(await accepted.accepts(connection, of("h-1", "02"))).toBeUndefined();
    expect(await accepted.accepts(connection, of("h-2", "01"))).toMatchObject({ id: "h-2" });
  });
});
