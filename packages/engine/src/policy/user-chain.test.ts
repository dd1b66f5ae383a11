import { expect, it } from "vitest";
import { type ListingResult, readUserChain } from "./user-chain.ts";

const listed = (...lines: readonly string[]): ListingResult => ({ exitCode: 0, stdout: lines.join("\n"), tail: lines });
const failed = (said: string): ListingResult => ({ exitCode: 1, stdout: "", tail: [said] });
const noChain = "iptables: No chain/target/match by that name.";
/** Of 1.8.9: the same of a chain that is not there. */
const incompatible = "iptables v1.8.9 (nf_tables): chain `DOCKER-USER' in table `filter' is incompatible, use 'nft' tool.";
const locked = "Another app is currently holding the xtables lock.";
const others = ["-P FORWARD ACCEPT", "-N DOCKER", "-N DOCKER-ISOLATION-STAGE-1"];

it("the rules of the engine's chain are those that are listed", () => {
  const rules = "-N DOCKER-USER\n-A DOCKER-USER -j RETURN";
  expect(readUserChain(listed(...rules.split("\n")), undefined)).toEqual({ kind: "listed", rules });
});

it.each([noChain, incompatible])("a chain that is gone beside the engine's others comes back with the engine: %s", (said) => {
  expect(readUserChain(failed(said), listed(...others))).toEqual({
    kind: "absent",
    why: "the chain DOCKER-USER of this host's engine is gone: restart the engine, which makes it again",
  });
});

it("an engine without any chain has another firewall, or lost them all", () => {
  const { why } = readUserChain(failed(noChain), listed("-P FORWARD ACCEPT", "-N DOCKERLIKE")) as { why: string };
  expect(why).toContain("its firewall is another one, or its chains were removed and come back when it is restarted");
});

it.each<readonly [what: string, table: ListingResult | undefined]>([
  ["the table cannot be listed either", failed(locked)],
  ["the program is gone meanwhile", undefined],
  ["the chain is there after all", listed(...others, "-N DOCKER-USER")],
])("a chain that cannot be listed is not known, and said with the cause: %s", (_, table) => {
  expect(readUserChain(failed(locked), table)).toEqual({
    kind: "unknown",
    why: `iptables does not say what is in the chain DOCKER-USER: ${locked}; try iptables -S DOCKER-USER`,
  });
});

it("without the program there are no rules", () => {
  expect(readUserChain(undefined, undefined)).toMatchObject({ kind: "absent" });
});
