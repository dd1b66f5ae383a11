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

it("applies what `fleet plan` showed, and reads again what came from standard input", () => {
  const plan = create(PlanSchema, { digest: "9c1e" });
  const command = (line: string, more = {}) => commandFor(plan, line.split(" "), more);
  expect(command("fleet plan -f fleet.yaml --exit-code")).toBe("decnet fleet apply -f fleet.yaml --expect-plan 9c1e");
  expect(command("--context prod fleet plan --file x.yaml")).toBe(
    "decnet --context prod fleet apply --file x.yaml --expect-plan 9c1e",
  );
  expect(command("fleet apply -f plan --plan")).toBe("decnet fleet apply -f plan --expect-plan 9c1e");
  expect(command("fleet plan -f -")).toBe("decnet fleet apply -f - --expect-plan 9c1e < FILE");
  expect(command("fleet plan --file=-", { input: "/tmp/my fleet.yaml" })).toBe(
    "decnet fleet apply --file=- --expect-plan 9c1e < '/tmp/my fleet.yaml'",
  );
  expect(command("service add web-07 ssh password=- --plan", { program: "./decnet" })).toBe(
    "./decnet service add web-07 ssh password=- --expect-plan 9c1e < FILE",
  );
});
