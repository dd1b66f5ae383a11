import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hashContext, movingImages } from "./build-context.ts";

const base = "FROM $" + "{BASE_IMAGE}";

describe("the hash of a build context", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await mkdir(join(folder, "pages"));
    await writeFile(join(folder, "Dockerfile"), `${base}\nCOPY pages /srv\n`);
    await writeFile(join(folder, "pages/a"), "1");
  });
  afterEach(() => rm(folder, { recursive: true }));

  const hash = async () => {
    const problems: string[] = [];
    const found = await hashContext(folder, problems);
    expect(problems).toEqual([]);
    return found;
  };

  it.each<readonly [string, (path: string) => Promise<void>]>([
    ["a file's content", (path) => writeFile(join(path, "pages/a"), "2")],
    ["a file more", (path) => writeFile(join(path, "pages/b"), "1")],
    [
      "a mode",
      async (path) => {
        await rm(join(path, "pages/a"));
        await writeFile(join(path, "pages/a"), "1", { mode: 0o755 });
      },
    ],
    ["a link more", (path) => symlink("a", join(path, "pages/b"))],
  ])("changes with %s", async (_, change) => {
    const before = await hash();
    expect(await hash()).toBe(before);
    await change(folder);
    expect(await hash()).not.toBe(before);
  });

  it("changes with where a link leads", async () => {
    await symlink("a", join(folder, "pages/b"));
    const before = await hash();
    await rm(join(folder, "pages/b"));
    await symlink("c", join(folder, "pages/b"));
    expect(await hash()).not.toBe(before);
  });

  it("is refused for a context that takes a layer from elsewhere, or that is not there", async () => {
    await writeFile(join(folder, "Dockerfile"), `${base}\nCOPY --from=decnet/recorder:1 /recorder /usr/bin/\n`);
    const problems: string[] = [];
    await hashContext(folder, problems);
    await hashContext(join(folder, "absent"), problems);
    expect(problems).toEqual([
      `${folder}/Dockerfile: decnet/recorder:1 may change while the image's tag stays: name it by its digest (@sha256:…)`,
      expect.stringContaining(`${folder}/absent: there is no build context`),
    ]);
  });
});

it.each<readonly [dockerfile: string, moving: readonly string[]]>([
  [`ARG BASE_IMAGE\n${base}\nRUN true`, []],
  ["FROM $BASE_IMAGE", []],
  ["FROM scratch", []],
  ["FROM debian:bookworm", ["debian:bookworm"]],
  ["from --platform=linux/amd64 debian AS build", ["debian"]],
  ["FROM debian@sha256:0123 AS build\nFROM $BASE_IMAGE\nCOPY --from=build /a /b\nCOPY --from=0 /a /b", []],
  [`${base}\nCOPY --from=helper:1 --chmod=755 /a /b`, ["helper:1"]],
  [`${base}\nCOPY --from=helper@sha256:0123 /a /b`, []],
  [`${base}\nRUN --mount=type=bind,from=helper:2,target=/x cp /x/a /b`, ["helper:2"]],
])("what a Dockerfile takes from elsewhere: %j", (dockerfile, moving) => {
  expect(movingImages(dockerfile).map((text) => text.split(" ")[0])).toEqual(moving);
});
