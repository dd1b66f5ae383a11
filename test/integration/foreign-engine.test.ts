import { loadCatalog } from "@decnet/engine/catalog/load";
import { openEngine } from "@decnet/engine/engine";
import { observeHardLimits } from "@decnet/engine/observe/engine-limits";
import type { DeckySpec } from "@decnet/engine/spec";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ownCatalog } from "../support/catalogs.ts";
import { engineOptions, specIn } from "../support/conformance.ts";
import { elsewhere, type OwnEngineOptions, useOwnEngine } from "../support/own-engine.ts";
import { serviceImages } from "../support/service-images.ts";
import { type Place, usePlace } from "../support/use-master.ts";

const slugs = ["ssh", "redis"];
const services = [
  { slug: "ssh", config: { password: "root-word", user_password: "user-word" } },
  { slug: "redis", config: { password: "redis-word" } },
];

/** Deploys a decky, and returns what is to be done about it afterwards, which is nothing. */
async function deployOn(place: Place, socketPath: string, spec: DeckySpec) {
  const engine = await openEngine({ ...(await engineOptions(place)), ...elsewhere, socketPath });
  const target = { kind: "present", spec } as const;
  const nothing = () => undefined;
  const how = { expectedDigest: "", onPlan: nothing, onStep: nothing, signal: AbortSignal.timeout(60_000) };
  const { failure, judged, plan } = await engine.apply(target, how);
  expect([failure?.message, failure?.outputTail, judged?.state]).toEqual([undefined, undefined, "running"]);
  expect((await engine.plan(target)).plan.steps).toEqual([]);
  return plan;
}

type Docker = (args: string[]) => Promise<string>;

/** What a visitor of each container finds, and how the engine made it. */
async function look(docker: Docker, spec: DeckySpec, container: string) {
  const probe = [
    "cat /proc/1/limits /proc/self/cgroup /etc/resolv.conf /etc/hosts; df -k /dev/shm | tail -1; ls -l /etc/resolv.conf",
    "tr '\\0' ' ' </proc/1/cmdline",
  ].join("; ");
  const [host] = JSON.parse(await docker(["inspect", container])) as [{ HostConfig: Record<string, unknown> }];
  // Compose gives lists in any order.
  const { Ulimits, Mounts, ...more } = host.HostConfig;
  const sorted = [Ulimits, Mounts].map((list) => (list as object[]).map((each) => JSON.stringify(each)).sort());
  const made = JSON.stringify({ ...more, sorted }).replaceAll(/[0-9a-f]{64}/g, "<id>");
  expect(made).toContain(spec.name);
  return { seen: await docker(["exec", container, "sh", "-c", probe]), made: JSON.parse(made) as unknown };
}

describe("a decoy on an engine of somebody's making", () => {
  let place: Place;
  let engine: Awaited<ReturnType<typeof useOwnEngine>>;

  beforeEach(async () => {
    place = await usePlace();
  });
  afterEach(async () => {
    await engine.dispose();
    await place.dispose();
  });

  const use = async (options: OwnEngineOptions): Promise<Docker> => {
    engine = await useOwnEngine(options);
    const catalog = await loadCatalog([ownCatalog]);
    const images = await serviceImages(slugs.map((slug) => catalog.services.get(slug) ?? expect.fail(`no ${slug}`)));
    await engine.load([debianBase, ...images.map(({ tag }) => tag)]);
    return async (args) => (await engine.docker(args)).stdout;
  };

  it("is the same as on a plain one, whatever that engine gives to containers that do not say what they are", async () => {
    const docker = await use({
      settings: {
        "default-ulimits": Object.fromEntries(
          ["nofile", "nproc", "core", "stack", "memlock"].map((Name) => [Name, { Name, Soft: 4_096, Hard: 4_096 }]),
        ),
        "log-driver": "none",
        dns: ["192.0.2.53"],
        "dns-search": ["elsewhere.example"],
        "dns-opts": ["rotate"],
        mtu: 1_400,
        init: true,
        "default-shm-size": "1M",
        "default-ipc-mode": "shareable",
        "default-cgroupns-mode": "host",
      },
    });
    const spec = specIn(place, services);
    await deployOn(place, engine.socketPath, spec);
    const names = [spec.name, ...slugs.map((slug) => `${spec.name}-${slug}`)];
    const here = await Promise.all(names.map((name) => look(docker, spec, name)));

    await deployOn(place, (await engineOptions(place)).socketPath, spec);
    const plain: Docker = async (args) => (await execa("docker", args)).stdout;
    const there = await Promise.all(names.map((name) => look(plain, spec, name)));
    expect(here).toEqual(there);
    const [{ seen } = expect.fail()] = here;
    const { nofile = 524_288 } = await observeHardLimits();
    expect(seen).toMatch(new RegExp(`Max open files +1024 +${nofile}`));
    expect(seen).toContain(`nameserver ${spec.attachments[0].lan.gateway}\n127.0.0.1\tlocalhost\n`);
    expect(seen).not.toMatch(/Docker|192\.0\.2\.53|elsewhere/);
  });

  it("that maps users has files that its own users can read, and passwords", async () => {
    const docker = await use({
      settings: { "userns-remap": "nobody:nogroup" },
      subordinates: "nobody:200000:65536\nnogroup:200000:65536",
    });
    const spec = specIn(place, services);
    await deployOn(place, engine.socketPath, spec);
    const { stdout } = await execa("find", [place.dataDir, "-path", "*/secrets/*", "-name", "password", "-printf", "%U:%G %m\n"]);
    expect(stdout.split("\n").sort()).toEqual(["200000:200000 400", "204379:204379 400"]);
    const inside = (container: string, command: string) => docker(["exec", container, "sh", "-c", command]);
    expect(await inside(`${spec.name}-ssh`, "cat /run/decnet/secrets/password; cut -c 1-8 /etc/shadow | head -1")).toBe(
      "root-wordroot:$6$",
    );
    expect(await inside(`${spec.name}-redis`, "redis-cli ping 2>&1; redis-cli -a redis-word ping 2>/dev/null")).toBe(
      "NOAUTH Authentication required.\n\nPONG",
    );
    // Files from before the engine mapped its users are made again.
    await execa("chown", ["-R", "0:0", place.dataDir]);
    const { plan } = await (
      await openEngine({ ...(await engineOptions(place)), ...elsewhere, socketPath: engine.socketPath })
    ).plan({
      kind: "present",
      spec,
    });
    expect(plan.steps.map(({ verb }) => verb)).toEqual(["write-project"]);
  });
});
