import { expect, it } from "vitest";
import { superfluousTags } from "./images.ts";

const tag = (slug: string, digit: string) => `decnet/${slug}:${digit.repeat(16)}`;
const image = (name: string, createdAt: number, isUsed = false) => ({ tag: name, createdAt, isUsed });

it("superseded images go, but for what runs, what is on offer, and the newest that an older catalogue would need", () => {
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
