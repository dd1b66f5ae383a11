import { writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fullDisk } from "../diagnose/disk.ts";
import { measureFolder } from "./disk-use.ts";
import type { PlaceUse } from "./observed.ts";

describe("a folder is measured", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("by what its files take on the disk, however deep they are, and not by holes or by what links lead to", async () => {
    await mkdir(join(folder, "a/b"), { recursive: true });
    await writeFile(join(folder, "a/b/large"), "x".repeat(1 << 20));
    await writeFile(join(folder, "sparse"), "");
    await truncate(join(folder, "sparse"), 1 << 30);
    await symlink("/", join(folder, "root"));
    const use = await measureFolder(folder);
    expect(use?.files).toBe(5);
    expect(use?.bytes).toBeGreaterThanOrEqual(1 << 20);
    expect(use?.bytes).toBeLessThan(2 << 20);
  });

  it("no further than so many files, however many there are", async () => {
    await mkdir(join(folder, "many"));
    for (let number = 0; number < 150; number += 1) writeFileSync(join(folder, "many", String(number)), "");
    expect((await measureFolder(folder, 100))?.files).toBe(100);
  });
});

describe("what is done about a service that takes more of the disk than it may", () => {
  const megabyte = 1 << 20;
  const place = (kind: PlaceUse["kind"], bytes: number, files = 1): PlaceUse => ({
    kind,
    name: "keys",
    folder: "/f",
    bytes,
    files,
  });
  const judge = (disk: readonly PlaceUse[], policy: object = {}, status: "running" | "exited" = "running") =>
    fullDisk({ name: "web-ssh", disk, status }, { diskBytes: 64 * megabyte }, policy);

  it.each<[string, readonly PlaceUse[], object]>([
    ["nothing was measured", [], {}],
    ["all of it is within its bounds", [place("layer", 64 * megabyte), place("volume", 64 * megabyte)], {}],
    ["the operator allows more", [place("layer", 65 * megabyte)], { diskBytes: 65 * megabyte }],
  ])("nothing, when %s", (_, disk, policy) => {
    expect(judge(disk, policy)).toBeUndefined();
  });

  it.each<[string, PlaceUse, object, string, string]>([
    [
      "its own layer",
      place("layer", 65 * megabyte),
      {},
      "recreate",
      "what it wrote takes more than the 64 MB of disk that it may",
    ],
    [
      "a setting",
      place("layer", 9 * megabyte),
      { diskBytes: 8 * megabyte },
      "recreate",
      "what it wrote takes more than the 8 MB of disk that it may",
    ],
    ["many files", place("layer", 1, 20_000), {}, "recreate", "what it wrote is more than 20000 files"],
    ["a volume", place("volume", 65 * megabyte), {}, "stop", "its volume keys takes more than the 64 MB of disk that it may"],
    [
      "the policy stop",
      place("layer", 65 * megabyte),
      { diskAct: "stop" },
      "stop",
      "what it wrote takes more than the 64 MB of disk that it may",
    ],
    [
      "the policy say",
      place("volume", 65 * megabyte),
      { diskAct: "say" },
      "wait",
      "its volume keys takes more than the 64 MB of disk that it may",
    ],
  ])("by %s", (_, use, policy, remedy, sentence) => {
    expect(judge([use], policy)).toEqual({ remedy, sentence });
  });

  it("nothing more once it is stopped, and the sentence has the command", () => {
    expect(judge([place("volume", 65 * megabyte)], {}, "exited")).toEqual({
      remedy: "none",
      sentence:
        "its volume keys takes more than the 64 MB of disk that it may; it is stopped, until it is made again: " +
        "docker rm -f web-ssh && docker volume rm keys",
    });
  });
});
