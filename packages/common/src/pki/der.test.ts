import { describe, expect, it } from "vitest";
import { bitString, encode, integer, objectId, readElements, readWithin, sequence, tags, time } from "./der.ts";

const hex = (bytes: Buffer) => bytes.toString("hex");
const of = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

describe("the writer", () => {
  it.each([
    [0, "0400"],
    [1, "0401"],
    [127, "047f"],
    [128, "048180"],
    [255, "0481ff"],
    [256, "04820100"],
    [65_535, "0482ffff"],
    [65_536, "0483010000"],
  ])("writes the length %i in its shortest form", (length, head) => {
    const written = encode(tags.octetString, Buffer.alloc(length));
    expect(hex(written.subarray(0, head.length / 2))).toBe(head);
    expect(written.length).toBe(length + head.length / 2);
  });

  it.each([
    ["00", "020100"],
    ["7f", "02017f"],
    ["80", "02020080"],
    ["0000ff", "020200ff"],
    ["000001", "020101"],
    ["4001", "02024001"],
  ])("writes the number 0x%s without a sign and without leading zeros", (bytes, written) => {
    expect(hex(integer(of(bytes)))).toBe(written);
  });

  it.each([
    ["2.5.29.17", "0603551d11"],
    ["1.2.840.10045.4.3.2", "06082a8648ce3d040302"],
    ["1.3.101.112", "06032b6570"],
    ["1.2.840.113549.1.1.11", "06092a864886f70d01010b"],
  ])("writes the name %s", (dotted, written) => {
    expect(hex(objectId(dotted))).toBe(written);
  });

  it.each([
    ["2026-03-01T12:00:00.999Z", "170d3236303330313132303030305a"],
    ["1999-12-31T23:59:59Z", "170d3939313233313233353935395a"],
    ["2049-12-31T23:59:59Z", "170d3439313233313233353935395a"],
    ["2050-01-01T00:00:00Z", "180f32303530303130313030303030305a"],
  ])("writes the time %s", (date, written) => {
    expect(hex(time(new Date(date)))).toBe(written);
  });

  it("writes bits with the number of those that do not count", () => {
    expect(hex(bitString(of("80"), 7))).toBe("03020780");
  });
});

describe("the reader", () => {
  it("reads what is written, to the last byte", () => {
    const parts = [integer(of("01")), sequence(), encode(tags.octetString, Buffer.alloc(300))];
    expect(readWithin(sequence(...parts), tags.sequence).map(({ whole }) => whole)).toEqual(parts);
    expect(readElements(Buffer.alloc(0))).toEqual([]);
  });

  it.each([
    ["a tag alone", "30"],
    ["a length that is cut off", "3082 01"],
    ["content that is cut off", "3003 0201"],
    ["an indefinite length", "3080 0000"],
    ["a long form that the short one would do for", "30 81 7f"],
    ["a long form with a leading zero", "30 82 0080"],
    ["a length of four bytes", "30 84 00000001 00"],
    ["a reserved length", "30 ff"],
    ["a tag of several bytes", "1f 22 00"],
    ["bytes that are left over", "3000 00"],
  ])("refuses %s", (_, bytes) => {
    expect(() => readElements(of(bytes))).toThrow();
  });

  it("refuses another element than the expected one, and a second one", () => {
    expect(() => readWithin(integer(of("01")), tags.sequence)).toThrow("not one element");
    expect(() => readWithin(Buffer.concat([sequence(), sequence()]), tags.sequence)).toThrow("not one element");
    expect(() => readWithin(Buffer.alloc(0), tags.sequence)).toThrow("not one element");
  });
});
