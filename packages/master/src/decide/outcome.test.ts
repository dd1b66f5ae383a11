import { expect, it } from "vitest";
import type { StoredService } from "../model/decky.ts";
import { makeOperation } from "../model/operation.ts";
import { culpritsOf, endOf } from "./outcome.ts";

const op = (id: string, revision: number, service: string) =>
  makeOperation({ createdAt: new Date(0), id, kind: "update_service_config", actor: "ann", revision, service });
const open = [op("ssh", 2, "ssh"), op("redis", 3, "redis"), op("all", 4, ""), op("later", 5, "ssh")];

it.each([
  ["the one that asked for the service, as far as it was attempted", 4, "ssh", ["ssh"]],
  ["also when it asked later, if that was attempted", 5, "ssh", ["ssh", "later"]],
  ["everybody, when nobody asked for the service", 4, "http", ["ssh", "redis", "all"]],
  ["everybody, when the step is about no service", 3, "", ["ssh", "redis"]],
  ["nobody, when nothing was attempted", 1, "ssh", []],
])("a failed step belongs to %s", (_name, attempted, slug, ids) => {
  expect(culpritsOf(open, attempted, slug).map(({ id }) => id)).toEqual(ids);
});

const list = (version?: string): StoredService[] => (version === undefined ? [] : [{ slug: "redis", config: { version } }]);

it.each([
  ["the applied change", 3, "redis", "1", "2", "succeeded"],
  ["an earlier change that still counts", 2, "redis", "1", "1", "succeeded"],
  ["an earlier change that was replaced", 2, "redis", "1", "2", "superseded"],
  ["an earlier change whose service is gone again", 2, "redis", "1", undefined, "superseded"],
  ["an earlier removal whose service is still gone", 2, "redis", undefined, undefined, "succeeded"],
  ["an earlier change of everything", 2, "", "1", "2", "succeeded"],
])("%s", (_name, revision, service, own, applied, end) => {
  expect(endOf(op("op-1", revision, service), { revision: 3, services: list(applied) }, list(own))).toBe(end);
});
