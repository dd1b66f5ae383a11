import { describe, expect, it } from "vitest";
import { parseSocketTable } from "./proc-sockets.ts";

const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const line = (local: string, remote: string, state: string, inode = 7) =>
  `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0000000000000000 100 0\n`;
const nobody = "00000000:0000";

it("listening TCP ports and open sessions are told apart", () => {
  const text = [
    head,
    line("00000000:0016", nobody, "0A", 41),
    line("0200420A:0016", "0763330A:9C40", "01"),
    line("0200420A:0016", "0763330A:9C41", "06"),
  ].join("");
  expect(parseSocketTable("tcp", text)).toEqual({
    listeners: [{ port: "22/tcp", address: "", isLocal: false, inode: "41" }],
    sessions: [{ protocol: "tcp", port: 22, peer: "10.51.99.7:40000" }],
  });
});

it("an IPv4 peer on an IPv6 socket is shown as IPv4", () => {
  const text = head + line("0000000000000000FFFF00000200420A:0016", "0000000000000000FFFF00000763330A:9C40", "01");
  expect(parseSocketTable("tcp6", text).sessions[0]?.peer).toBe("10.51.99.7:40000");
});

it("a bound UDP socket listens", () => {
  expect(parseSocketTable("udp", head + line("00000000:00A1", nobody, "07")).listeners[0]?.port).toBe("161/udp");
});

it.each([
  ["127.0.0.1", "tcp", "0100007F:0016", true],
  ["127.0.0.11", "tcp", "0B00007F:0016", true],
  ["an address of the LAN", "tcp", "0200420A:0016", false],
  ["every address", "tcp", "00000000:0016", false],
  ["::1", "tcp6", "00000000000000000000000001000000:0016", true],
  ["::ffff:127.0.0.1", "tcp6", "0000000000000000FFFF00000100007F:0016", true],
  ["every IPv6 address", "tcp6", "00000000000000000000000000000000:0016", false],
  ["fe80::1", "tcp6", "000080FE000000000000000001000000:0016", false],
] as const)("knows whether only the decky itself reaches %s", (_, table, local, isLocal) => {
  expect(parseSocketTable(table, head + line(local, nobody, "0A")).listeners[0]?.isLocal).toBe(isLocal);
});

describe("a table that is not whole is not one without sockets", () => {
  const whole = head + line("00000000:0016", nobody, "0A");
  it.each([
    ["empty", ""],
    ["without a head", line("00000000:0016", nobody, "0A")],
    ["cut off in a line", whole.slice(0, -40)],
    ["cut off in a number", `${whole}   1: 0000`],
    ["with half a line", `${head}   0: 00000000:0016 00000000:0000 0A\n`],
  ])("%s", (_, text) => {
    expect(() => parseSocketTable("tcp", text)).toThrow("not observed: the table of tcp sockets is cut off");
  });
  it("but a kernel without IPv6 has none of them", () => {
    expect(parseSocketTable("tcp6", undefined)).toEqual({ listeners: [], sessions: [] });
  });
});
