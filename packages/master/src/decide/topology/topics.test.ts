import { describe, expect, it } from "vitest";
import { operationEvents } from "../../model/events.ts";
import { makeOperation } from "../../model/operation.ts";
import { memberPattern } from "./read-design.ts";

const who = { id: "op-1", actor: "ann", createdAt: new Date(0) };
const what = { kind: "add_service", service: "ssh", scope: "t0123456789ab", state: "succeeded" } as const;
const added = (deckyName: string) => makeOperation({ ...who, ...what, deckyName });

describe("a topic (W-14)", () => {
  const partsOf = ({ topic }: { readonly topic: string }) => topic.split(".");

  it.each(["web", "web-01", "a", "a".repeat(32), "x-1-y"])(
    "has a decky's whole name as one of its words, so that what was done can always be told (%s)",
    (deckyName) => {
      expect(memberPattern.test(deckyName)).toBe(true);
      expect(operationEvents(added(deckyName), [{ slug: "ssh", config: {} }]).map(partsOf)).toEqual([
        ["decky", deckyName, "service_added"],
        ["decky", deckyName, "lifecycle"],
      ]);
    },
  );

  it.each(["web.1", "web 1", "web>", "*", "", ".", "web\n", "Web", "-web"])(
    "is never asked for a name that it could not have: nobody is called %j",
    (name) => {
      expect(memberPattern.test(name)).toBe(false);
    },
  );
});
