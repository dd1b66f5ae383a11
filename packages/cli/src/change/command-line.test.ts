import { create } from "@bufbuild/protobuf";
import { PlanSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { expect, it } from "vitest";
import { commandFor } from "./command-line.ts";

it("repeats a command with its plan's digest, and without its secrets", () => {
  const plan = create(PlanSchema, { digest: "9c1e", changes: [{ service: "ssh", fields: [{ key: "password", secret: true }] }] });
  const words = ["service", "set", "web-07", "ssh", "banner=a b", "password=hunter", "--plan", "--exit-code"];
  expect(commandFor(plan, words)).toBe("decnet service set web-07 ssh 'banner=a b' password=- --expect-plan 9c1e");
  expect(commandFor(plan, ["service", "set", "web-07", "ssh", "password=@file"])).toContain("password=@file");
});
