import { expect, it } from "vitest";
import { parseLocalAddresses } from "./interfaces.ts";

const trie = `Main:
  +-- 0.0.0.0/1 2 0 2
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.78.9.0/29 2 0 2
        |-- 10.78.9.0
           /24 link UNICAST
        |-- 10.78.9.7
           /25 link UNICAST
           /32 host LOCAL
     |-- 10.78.9.255
        /32 link BROADCAST
  +-- 127.0.0.0/8 2 0 2
     |-- 127.0.0.1
        /32 host LOCAL
Local:
        |-- 10.78.9.7
           /32 host LOCAL
`;

it("the addresses of a namespace are what its routing table calls local, without the loopback's", () => {
  expect(parseLocalAddresses(trie)).toEqual(new Set(["10.78.9.7"]));
  expect(parseLocalAddresses("")).toEqual(new Set());
});

it("a table of addresses that was cut off says nothing of what it lacks", () => {
  expect(() => parseLocalAddresses(trie.slice(0, 300))).toThrow("not observed: the table of addresses is cut off");
});
