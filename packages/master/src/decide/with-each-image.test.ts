import type { PresentTarget } from "@decnet/engine/wire/decky-spec";
import { expect, it } from "vitest";
import { withEachImage } from "./with-each-image.ts";

const target = (name: string, base: string, ...slugs: string[]): PresentTarget => ({
  kind: "present",
  id: name,
  distro: base,
  spec: {
    scope: "fleet",
    name,
    revision: 1,
    hostname: name,
    baseImage: base,
    buildBase: base,
    osFamily: "linux",
    attachments: [
      {
        lan: { name: "lan", driver: "bridge", subnet: "10.0.0.0/24", gateway: "10.0.0.1", parent: undefined },
        ip: "10.0.0.2",
        mac: "",
      },
    ],
    forwards: false,
    services: slugs.map((slug) => ({ slug, config: {} })),
  },
});

it.each([
  ["no decky", [], []],
  ["equal deckies", [target("a", "debian", "ssh"), target("b", "debian", "ssh")], ["a"]],
  ["a decky with fewer services", [target("a", "debian", "ssh", "http"), target("b", "debian", "http")], ["a"]],
  ["a decky with one more service", [target("a", "debian", "ssh"), target("b", "debian", "ssh", "http")], ["a", "b"]],
  ["the same service on another base", [target("a", "debian", "ssh"), target("b", "alpine", "ssh")], ["a", "b"]],
  ["a decky without services", [target("a", "debian"), target("b", "debian")], ["a"]],
  [
    "what others name between them",
    [target("a", "d", "ssh"), target("b", "d", "http"), target("c", "d", "ssh", "http")],
    ["a", "b"],
  ],
])("of %s, those are left that name every image", (_, targets, left) => {
  expect(withEachImage(targets).map(({ id }) => id)).toEqual(left);
});
