import { describe, expect, it } from "vitest";
import { egressRule, egressText, readCidr } from "./egress.ts";

describe("what may be called", () => {
  it.each([
    ["192.0.2.7", "192.0.2.7/32"],
    ["192.0.2.0/24", "192.0.2.0/24"],
    ["0.0.0.0/0", "0.0.0.0/0"],
  ])("is a network or an address: %s", (text, cidr) => {
    expect(readCidr(text)).toBe(cidr);
  });

  it.each([
    "",
    "/24",
    "192.0.2.7/24",
    "192.0.2.0/33",
    "192.0.2.0/024",
    "192.0.2.0/24/1",
    "192.0.2",
    "192.0.2.256",
    "010.0.0.0/8",
    "::1",
  ])("is not %j", (text) => {
    expect(readCidr(text)).toBeUndefined();
  });

  it("has a protocol when it has a port", () => {
    expect(egressText(egressRule.parse({ cidr: "192.0.2.7", protocol: "tcp", port: 443 }))).toBe("192.0.2.7/32 tcp 443");
    expect(egressRule.safeParse({ cidr: "192.0.2.7", port: 443 }).success).toBe(false);
    for (const port of [0, 65_536, 1.5])
      expect(egressRule.safeParse({ cidr: "192.0.2.7", protocol: "udp", port }).success).toBe(false);
  });
});
