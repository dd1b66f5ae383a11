import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { loadCatalog } from "./load.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "decnet-catalog-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function load(...lines: string[]) {
  await mkdir(join(folder, "odd/image"), { recursive: true });
  await writeFile(join(folder, "odd/image/Dockerfile"), "FROM scratch\n");
  await writeFile(join(folder, "odd/service.yaml"), ["title: Odd", "summary: Odd.", ...lines, ""].join("\n"));
  return loadCatalog([folder]);
}

it.each(["NET_ADMIN", "NET_RAW", "SYS_ADMIN"])(
  "refuses a service whose rights would undo the rules of its decky: %s",
  async (name) => {
    await expect(load(`capabilities: [CHOWN, ${name}]`)).rejects.toThrow(`with ${name} whoever is in the service could call out`);
  },
);

it("lets a service that is never part of a decky have them", async () => {
  expect((await load("singleton: true", "capabilities: [NET_RAW]")).services.get("odd")?.capabilities).toEqual(["NET_RAW"]);
});

it("reads what a service may call, and refuses what nobody could", async () => {
  const { services } = await load("egress: [{ cidr: 192.0.2.53, protocol: udp, port: 53 }, { cidr: 198.51.100.0/24 }]");
  expect(services.get("odd")?.egress).toEqual([
    { cidr: "192.0.2.53/32", protocol: "udp", port: 53 },
    { cidr: "198.51.100.0/24" },
  ]);
  await expect(load("egress: [{ cidr: example.com }]")).rejects.toThrow("is not an IPv4 address or network");
  await expect(load("egress: [{ cidr: 192.0.2.1/24 }]")).rejects.toThrow("is not an IPv4 address or network");
  await expect(load("egress: [{ cidr: 192.0.2.0/24, port: 53 }]")).rejects.toThrow("a port needs a protocol");
});
