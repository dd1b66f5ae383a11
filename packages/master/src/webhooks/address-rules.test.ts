import { describe, expect, it } from "vitest";
import { createAddressRules, type Resolve } from "./address-rules.ts";

const names: Readonly<Record<string, readonly string[]>> = {
  "inside.example": ["10.1.2.3", "fd00::1"],
  "mapped.example": ["::ffff:127.0.0.1"],
  "mixed.example": ["127.0.0.1", "93.184.216.34"],
  "outside.example": ["93.184.216.34", "2606:4700::1111"],
};
const resolve: Resolve = (host, _options, callback) =>
  callback(
    null,
    (names[host.toLowerCase()] ?? []).map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
  );

const rules = createAddressRules(new Set(["inside.example", "10.0.0.5", "::1"]), resolve);
const refusal = (url: string) => rules.refuse(new URL(url));
const look = (host: string, all: boolean) =>
  new Promise<unknown>((done, fail) => {
    rules.lookup(host, { all }, (error, found) => (error === null ? done(found) : fail(error)));
  });

describe("the URL of a webhook", () => {
  it.each([
    "https://hooks.example/in",
    "https://93.184.216.34/",
    "http://inside.example:8080/",
    "https://INSIDE.example/",
    "http://10.0.0.5/",
    "http://[::1]:8080/",
    "http://[0:0:0:0:0:0:0:1]/",
  ])("may be %s", (url) => {
    expect(refusal(url)).toBeUndefined();
  });

  it.each([
    ["http://hooks.example/", /http:\/\/ is only for/],
    ["ftp://hooks.example/", /no protocol/],
    ["https://user:secret@hooks.example/", /a user or a password/],
    ["https://127.0.0.1/", /not on the internet/],
    ["https://0x7f.1/", /127\.0\.0\.1 is not on the internet/],
    ["https://2130706433/", /127\.0\.0\.1 is not on the internet/],
    ["https://169.254.169.254/latest/meta-data", /not on the internet/],
    ["https://100.64.1.1/", /not on the internet/],
    ["https://224.0.0.1/", /not on the internet/],
    ["https://[::ffff:10.0.0.1]/", /not on the internet/],
    ["https://[fe80::1]/", /not on the internet/],
  ])("may not be %s", (url, why) => {
    expect(refusal(url)).toMatch(why);
  });
});

describe("a name, when a socket resolves it", () => {
  it("is what is on the internet of its addresses", async () => {
    expect(await look("mixed.example", true)).toEqual([{ address: "93.184.216.34", family: 4 }]);
    expect(await look("mixed.example", false)).toBe("93.184.216.34");
    expect(await look("outside.example", true)).toHaveLength(2);
  });

  it("is refused when all of them are elsewhere, also under another notation", async () => {
    await expect(look("mapped.example", true)).rejects.toThrow("not on the internet");
    await expect(look("nowhere.example", true)).rejects.toThrow("not on the internet");
  });

  it("is all of them when the host is allowed by name", async () => {
    expect(await look("inside.example", true)).toHaveLength(2);
  });
});
