import { expect, it } from "vitest";
import { named, programName } from "./program-name.ts";

it("is what the wrapper says, and never something that a shell would read otherwise", () => {
  expect(programName({})).toBe("decnet");
  expect(programName({ DECNET_PROGRAM: "./decnet" })).toBe("./decnet");
  expect(programName({ DECNET_PROGRAM: "/opt/decnet swarm/decnet; rm" })).toBe("decnet");
});

it("stands in every command that is advised, and nowhere else", () => {
  expect(named("undo: decnet decky restore web-07 r41", "./decnet")).toBe("undo: ./decnet decky restore web-07 r41");
  expect(named(" next:  decnet op list\n more:  decnet op get op-1", "../d")).toBe(
    " next:  ../d op list\n more:  ../d op get op-1",
  );
  expect(named("the decnet agent of edge-1", "./decnet")).toBe("the decnet agent of edge-1");
  expect(named("a checkout of decnet-swarm, decnet.v1 and no decnet master", "./decnet")).toBe(
    "a checkout of decnet-swarm, decnet.v1 and no decnet master",
  );
  expect(named("run ./decnet up there", "/opt/d/decnet")).toBe("run /opt/d/decnet up there");
  expect(named("decnet status", "decnet")).toBe("decnet status");
});
