import { describe, expect, it } from "vitest";
import type { ServiceDefinition } from "../catalog/types.ts";
import { offeredTags, serviceImage, superfluousTags } from "./images.ts";

const tag = (slug: string, digit: string) => `decnet/${slug}:${digit.repeat(16)}`;
const image = (name: string, createdAt: number, isUsed = false) => ({ tag: name, createdAt, isUsed });

const ssh = (contextHash: string) => ({ slug: "ssh", image: { context: "/c", contextHash } }) as ServiceDefinition;
const debian = "decnet/base-debian:bookworm";
const pinned = "ubuntu@sha256:0123";

describe("an image's tag", () => {
  const contents = new Map([[debian, "layers-1"]]);
  const usual = serviceImage(ssh("files-1"), debian, contents).tag;

  it("has the service's name, and is the same for the same content", () => {
    expect(usual).toMatch(/^decnet\/ssh:[0-9a-f]{16}$/);
    expect(serviceImage(ssh("files-1"), debian, new Map(contents)).tag).toBe(usual);
  });

  it.each([
    ["the files of the build context", serviceImage(ssh("files-2"), debian, contents)],
    ["the build base", serviceImage(ssh("files-1"), pinned, contents)],
    [
      "the layers of the build base, though its name stays",
      serviceImage(ssh("files-1"), debian, new Map([[debian, "layers-2"]])),
    ],
    ["whether the build base was ever seen", serviceImage(ssh("files-1"), debian, new Map())],
  ])("changes with %s", (_, image) => {
    expect(image.tag).not.toBe(usual);
  });

  it("needs no look at a base that is named by its content", () => {
    const seen = new Map([[pinned, "layers-1"]]);
    expect(serviceImage(ssh("files-1"), pinned, seen).tag).toBe(serviceImage(ssh("files-1"), pinned, new Map()).tag);
  });

  it("is on offer for every build base, as it is now", () => {
    expect(offeredTags([ssh("files-1")], [debian, pinned], contents)).toEqual(
      new Set([usual, serviceImage(ssh("files-1"), pinned, contents).tag]),
    );
  });
});

it("superseded images go, but for what runs, what is on offer, and the newest that an older catalog would need", () => {
  const images = [
    image(tag("ssh", "a"), 400),
    image(tag("ssh", "b"), 300),
    image(tag("ssh", "c"), 200),
    image(tag("ssh", "d"), 100, true),
    image(tag("gone", "e"), 1),
    image("decnet/ssh:latest", 1),
    image("decnet/base-debian:bookworm", 1),
  ];
  const offered = new Set([tag("ssh", "a")]);
  expect(superfluousTags(images, offered, { now: 1_000, graceMs: 0 })).toEqual([tag("ssh", "c")]);
  expect(superfluousTags(images, offered, { now: 1_000, graceMs: 900 })).toEqual([]);
});
