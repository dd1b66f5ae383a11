import { describe, expect, it } from "vitest";
import { hostOwner, userMappingOf } from "./user-mapping.ts";

const seccomp = "name=seccomp,profile=builtin";

describe("the users of an engine", () => {
  it("are the host's own without a mapping, whatever its folder is called", () => {
    expect(userMappingOf({ options: [seccomp, "name=cgroupns"], rootFolder: "/var/lib/docker/100.200" })).toEqual({
      uid: 0,
      gid: 0,
    });
  });

  it.each([
    ["/var/lib/docker/100000.100000", { uid: 100_000, gid: 100_000 }],
    ["/srv/a.b/data/231072.165536/", { uid: 231_072, gid: 165_536 }],
  ])("begin where the folder of a mapping engine says: %s", (rootFolder, mapping) => {
    expect(userMappingOf({ options: [seccomp, "name=userns"], rootFolder })).toEqual(mapping);
  });

  it.each([
    [["name=userns"], "/var/lib/docker", "userns-remap"],
    [["name=rootless", seccomp], "/home/a/.local/share/docker", "rootless"],
  ])("that cannot be given files make the engine unusable, with what to do: %s %s", (options, rootFolder, said) => {
    expect(() => userMappingOf({ options, rootFolder })).toThrow(
      expect.objectContaining({ reason: "ENGINE_UNUSABLE", message: expect.stringContaining(said) as string }),
    );
  });

  it("own their files as the host counts them, and what is the host's own stays so", () => {
    const mapping = { uid: 100_000, gid: 200_000 };
    expect([hostOwner(33, mapping), hostOwner(0, mapping), hostOwner("host", mapping)]).toEqual([
      { uid: 100_033, gid: 200_033 },
      { uid: 100_000, gid: 200_000 },
      { uid: 0, gid: 0 },
    ]);
  });
});
