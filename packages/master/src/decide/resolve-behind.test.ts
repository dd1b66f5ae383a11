import { describe, expect, it } from "vitest";
import { type Decky, newDecky } from "../model/decky.ts";
import { refuseBehind, resolveAdopted, resolveAhead, resolveLost, resolveOverwritten } from "./resolve-behind.ts";

const identity = { hostname: "web", distro: "debian", osFamily: "linux", archetype: "", baseImage: "base", buildBase: "base" };
const lan = { name: "lan", driver: "bridge", subnet: "10.0.0.0/24", gateway: "10.0.0.1", parent: undefined } as const;
const attachments = [{ lan, ip: "10.0.0.2", mac: "00:50:56:00:00:01" }] as const;
const web: Decky = {
  ...newDecky({
    ...{ id: "web-id", scope: "fleet", name: "web", host: "edge-1" },
    ...{ attachments, identity, createdAt: new Date(0) },
  }),
  ...{ desiredRevision: 2, appliedRevision: 2, renderedRevision: 2, state: "running" },
};
const ahead: Decky = { ...web, aheadRevision: 5, state: "unknown", message: "it was said" };
const target = (revision: number) => ({
  ...{ kind: "present" as const, id: "web-id" },
  spec: {
    ...{ scope: "fleet", name: "web", revision, hostname: "web", osFamily: "linux", baseImage: "base", buildBase: "base" },
    ...{ attachments, forwards: false, services: [] },
  },
  distro: "x",
});

describe("a decky of a database that was restored", () => {
  it("is behind when its host has a later revision, and is not when it has none", () => {
    expect(resolveAhead(web, 2)).toBeUndefined();
    expect(resolveAhead(web, 0)).toBeUndefined();
    const resolution = resolveAhead(web, 5);
    expect(resolution?.decky).toMatchObject({
      patch: { aheadRevision: 5, state: "unknown", message: expect.stringContaining("r5") },
    });
    const after: Decky = { ...web, ...(resolution?.decky.kind === "patch" ? resolution.decky.patch : {}) };
    expect(resolveAhead(after, 5)).toBeUndefined();
    expect(resolveAhead(after, 2)?.decky).toEqual({ kind: "patch", patch: { aheadRevision: 0 } });
  });

  it("is behind also when another host has a later revision: it moved there after the backup", () => {
    expect(resolveAhead(web, 3, "edge-2")?.decky).toMatchObject({
      patch: { aheadRevision: 3, message: "edge-2 runs r3 of it, and the newest revision known here is r2" },
    });
  });

  it("is made again when its host has nothing of it any more, unless it leaves or was never made", () => {
    expect(resolveLost(web)?.decky).toMatchObject({
      patch: { renderedRevision: 0, state: "unknown", message: "edge-1 has nothing of it any more" },
    });
    expect(resolveLost({ ...web, state: "changing" })?.decky).toEqual({
      kind: "patch",
      patch: { renderedRevision: 0, retryAt: null },
    });
    expect(resolveLost({ ...web, renderedRevision: 0 })).toBeUndefined();
    expect(resolveLost({ ...web, leaving: true })).toBeUndefined();
  });

  it("is not changed while nobody said which of them counts", () => {
    expect(() => refuseBehind(web)).not.toThrow();
    expect(() => refuseBehind(ahead)).toThrow(expect.objectContaining({ reason: "DECKY_BEHIND" }));
  });

  it("becomes what its host has, or something later than that", () => {
    expect(resolveAdopted(ahead, target(5))).toMatchObject({ decky: { patch: { desiredRevision: 5 } }, revision: { number: 5 } });
    expect(resolveAdopted(ahead, target(7))).toMatchObject({ decky: { patch: { appliedRevision: 7 } }, revision: { number: 7 } });
    expect(resolveOverwritten(ahead, [])).toMatchObject({ decky: { patch: { desiredRevision: 6 } }, revision: { number: 6 } });
  });

  it("stays as it is when it is not behind any more, leaves, or its host has less than it said", () => {
    expect(resolveAdopted(web, target(5))).toBeUndefined();
    expect(resolveAdopted({ ...ahead, leaving: true }, target(5))).toBeUndefined();
    expect(resolveAdopted(ahead, target(4))).toBeUndefined();
    expect(resolveOverwritten(web, [])).toBeUndefined();
  });
});
