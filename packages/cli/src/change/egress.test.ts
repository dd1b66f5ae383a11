import { describe, expect, it } from "vitest";
import { formatEgress } from "../text/egress.ts";
import { parseEgress } from "./egress.ts";

describe("what a decky may call", () => {
  it.each(["198.51.100.0/24=tcp/443", "198.51.100.7=udp", "198.51.100.7"])("is typed as it is shown: %s", (text) => {
    expect(formatEgress([parseEgress(text)])).toBe(text);
  });

  it.each(["", "example.com", "198.51.100.7=443", "198.51.100.7=icmp", "198.51.100.7:443", "198.51.100.7=tcp/"])(
    "is not %j",
    (text) => {
      expect(() => parseEgress(text)).toThrow("a rule is like");
    },
  );
});
