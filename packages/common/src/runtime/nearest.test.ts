import { expect, it } from "vitest";
import { nearest, nearestName } from "./nearest.ts";

it("finds what a mistyped name meant, and nothing for another name", () => {
  const names = ["web-01", "web-11", "db-03", "ssh"];
  expect(nearest("web-1", names)).toBe("web-01");
  expect(nearest("wbe-11", names)).toBe("web-11");
  expect(nearest("shs", names)).toBe("ssh");
  expect(nearest("SSH", names)).toBe("ssh");
  expect(nearest("gateway", names)).toBeUndefined();
  expect(nearest("ab", names)).toBeUndefined();
});

it("takes a name that begins alike among a few that are all known", () => {
  const names = ["lan", "deckies", "driftPolicy", "dryRun"];
  expect(nearestName("decky", names)).toBe("deckies");
  expect(nearestName("DRY-RUN", names)).toBe("dryRun");
  expect(nearestName("drift_policy", names)).toBe("driftPolicy");
  expect(nearestName("hosts", names)).toBeUndefined();
});
