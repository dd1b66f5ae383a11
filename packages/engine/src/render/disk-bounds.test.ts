import { describe, expect, it } from "vitest";
import { boundLayer, boundVolume } from "./disk-bounds.ts";

const entry = (diskMb: number, readOnlyRoot = false) => ({ readOnlyRoot, limits: { diskMb } });
const bounds = { layers: true, volumes: true, bytes: 0 };
const megabyte = 1 << 20;

describe("what an engine refuses to write", () => {
  it.each([
    ["an eighth above what the catalog allows", entry(256), bounds, "288m"],
    ["an eighth above what the operator allows instead", entry(256), { ...bounds, bytes: 16 * megabyte }, "18m"],
    ["in whole megabytes, and never less", entry(1), bounds, "2m"],
  ])("is what goes %s", (_, of, by, size) => {
    expect(boundLayer(of, by)).toEqual({ storage_opt: { size } });
    expect(boundVolume(of, by)).toEqual({ driver_opts: { size } });
  });

  it.each([
    ["an engine that bounds nothing is asked for nothing", entry(256), undefined, {}, {}],
    ["layers are left alone where only volumes can have a size", entry(256), { ...bounds, layers: false }, {}, { size: "288m" }],
    ["a root that nobody writes to needs none", entry(256, true), bounds, {}, { size: "288m" }],
  ])("%s", (_, of, by, layer, volume) => {
    expect(boundLayer(of, by)).toEqual(layer);
    expect(boundVolume(of, by).driver_opts ?? {}).toEqual(volume);
  });
});
