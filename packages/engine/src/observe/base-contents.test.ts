import { expect, it } from "vitest";
import { createBaseContents } from "./base-contents.ts";

it("a build base that is gone counts as what it was last seen as", async () => {
  const images = new Map([["decnet/base:1", "a"]]);
  const bases = createBaseContents(async (reference) => images.get(reference));
  expect(await bases.observe(["decnet/base:1", "decnet/base:2"])).toEqual(new Map([["decnet/base:1", "a"]]));
  images.delete("decnet/base:1");
  expect((await bases.observe(["decnet/base:1"])).get("decnet/base:1")).toBe("a");
  images.set("decnet/base:1", "b");
  expect((await bases.remember(["decnet/base:1"])).get("decnet/base:1")).toBe("a");
  expect((await bases.observe(["decnet/base:1"])).get("decnet/base:1")).toBe("b");
});

it("a base that is named by its content is not asked for", async () => {
  const asked: string[] = [];
  const bases = createBaseContents(async (reference) => void asked.push(reference));
  await bases.observe(["ubuntu@sha256:0123", "decnet/base:1", "decnet/base:1"]);
  expect(asked).toEqual(["decnet/base:1"]);
});
