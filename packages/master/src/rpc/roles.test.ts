import { expect, it } from "vitest";
import { agentCalls, leastRole, mayCall } from "../access/roles.ts";
import { masterServices } from "./routes.ts";

it("every method of the contract has a role, and no role is for a method that is gone", () => {
  const methods = masterServices.flatMap((service) => service.methods.map((method) => `${service.typeName}/${method.name}`));
  expect([...Object.keys(leastRole), ...Object.keys(agentCalls)].sort()).toEqual(methods.sort());
});

it("a higher role may do what a lower one may", () => {
  expect(mayCall("admin", "viewer")).toBe(true);
  expect(mayCall("viewer", "operator")).toBe(false);
});
