import { expect, it } from "vitest";
import { parseSocketTable } from "./proc-sockets.ts";

const head = "  sl  local_address rem_address   st tx_queue\n";

it("listening TCP ports and open sessions are told apart", () => {
  const lines = [
    "   0: 00000000:0016 00000000:0000 0A 0",
    "   1: 0200420A:0016 0763330A:9C40 01 0",
    "   2: 0200420A:0016 0763330A:9C41 06 0",
  ];
  const text = `${head}${lines.join("\n")}\n`;
  expect(parseSocketTable("tcp", text)).toEqual({
    listening: ["22/tcp"],
    sessions: [{ protocol: "tcp", port: 22, peer: "10.51.99.7:40000" }],
  });
});

it("an IPv4 peer on an IPv6 socket is shown as IPv4", () => {
  const text = `${head}   0: 0000000000000000FFFF00000200420A:0016 0000000000000000FFFF00000763330A:9C40 01 0\n`;
  expect(parseSocketTable("tcp6", text).sessions[0]?.peer).toBe("10.51.99.7:40000");
});

it("a bound UDP socket listens", () => {
  expect(parseSocketTable("udp", `${head}   0: 00000000:00A1 00000000:0000 07 0\n`).listening).toEqual(["161/udp"]);
});
