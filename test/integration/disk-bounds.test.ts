import { statfs } from "node:fs/promises";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { type EngineOptions, openEngine } from "@decnet/engine/engine";
import type { DeckySpec } from "@decnet/engine/spec";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ownCatalog } from "../support/catalogs.ts";
import { engineOptions, specIn } from "../support/conformance.ts";
import { kernelHas } from "../support/kernel-options.ts";
import { elsewhere, type OwnEngineOptions, useOwnEngine } from "../support/own-engine.ts";
import { serviceImages } from "../support/service-images.ts";
import { eventually, type Place, usePlace } from "../support/use-master.ts";

const megabyte = 1 << 20;
const services = [{ slug: "ssh", config: { password: "root-word" } }];

/** What root in a decoy writes: four times what it may. */
const fill = (path: string) => `dd if=/dev/urandom of=${path} bs=1M count=64`;

describe("what root in a decoy can write to its host's disk", () => {
  let place: Place;
  let own: Awaited<ReturnType<typeof useOwnEngine>> | undefined;
  let spec: DeckySpec;

  beforeEach(async () => {
    place = await usePlace();
    spec = specIn(place, services);
  });
  afterEach(async () => {
    await own?.dispose();
    own = undefined;
    await place.dispose();
  });

  const there = () => own ?? expect.fail("no engine");
  const open = async (options: Partial<EngineOptions> = {}) =>
    openEngine({
      ...{ ...(await engineOptions(place)), ...elsewhere, socketPath: there().socketPath },
      ...{ disk: { diskBytes: 16 * megabyte, diskAct: "recreate" as const }, ...options },
    });
  const deployOn = async (how: OwnEngineOptions) => {
    own = await useOwnEngine(how);
    const { services: known } = await loadCatalog([ownCatalog]);
    const images = await serviceImages(services.map(({ slug }) => known.get(slug) ?? expect.fail(`no ${slug}`)));
    await there().load([debianBase, ...images.map(({ tag }) => tag)]);
    const engine = await open();
    await apply(engine);
    return engine;
  };
  const apply = async (engine: Awaited<ReturnType<typeof openEngine>>) => {
    const nothing = () => undefined;
    const how = { expectedDigest: "", onPlan: nothing, onStep: nothing, signal: AbortSignal.timeout(60_000) };
    const { failure, judged } = await engine.apply({ kind: "present", spec }, how);
    expect([failure?.message, failure?.outputTail, judged?.state]).toEqual([undefined, undefined, "running"]);
  };
  /** A visitor who logs in from the LAN. */
  const asRoot = async (command: string) => {
    const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "PubkeyAuthentication=no"];
    const address = spec.attachments[0].ip;
    const login = ["-p", "root-word", "ssh", ...options.flatMap((each) => ["-o", each]), `root@${address}`, command];
    return execa("nsenter", [`--net=/run/netns/${there().netns}`, "sshpass", ...login], { reject: false });
  };
  const free = async () => {
    const { bavail, bsize } = await statfs(there().dataFolder);
    return bavail * bsize;
  };
  /** What a drift check says of the service once it was measured, and what would follow. */
  const said = (engine: Awaited<ReturnType<typeof openEngine>>) =>
    eventually(async () => {
      const { judged, plan } = (await engine.check([spec])).deckies.get(`fleet/${spec.name}`) ?? expect.fail();
      const [ssh] = judged.services;
      return ssh?.state === "exhausted" && [ssh.message, plan.steps.map(({ verb, target }) => `${verb} ${target}`)];
    }, 90_000);
  const aboutDisk = ({ warnings }: { warnings: readonly string[] }) => warnings.filter((each) => each.startsWith("disk_"));
  const probes = async () => (await there().docker(["volume", "ls", "-q", "--filter", "label=decnet.probe"])).stdout;

  it("is bounded in its layer and in its volume where the file system has project quotas", async (test) => {
    test.skip(!(await kernelHas("CONFIG_XFS_QUOTA")), "this kernel has no quotas for xfs");
    const engine = await deployOn({ xfsMb: 2_048 });
    expect([aboutDisk(engine), await probes()]).toEqual([[], ""]);
    const volume = `decnet_${spec.name}_ssh_keys`;
    for (const path of ["/var/tmp/x", "/var/lib/sshkeys/x"]) {
      const before = await free();
      const { exitCode, stderr } = await asRoot(fill(path));
      expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/No space left on device|Disk quota exceeded/)]);
      const taken = before - (await free());
      expect(taken).toBeGreaterThan(16 * megabyte);
      expect(taken).toBeLessThan(20 * megabyte);
    }
    // The volume outlives a new container, which would be of no use.
    expect(await said(engine)).toEqual([
      expect.stringMatching(/takes more than the 16 MB of disk that it may$/),
      [`stop ${spec.name}-ssh`],
    ]);
    await there().docker(["rm", "-f", `${spec.name}-ssh`]);
    await there().docker(["volume", "rm", volume]);
    await apply(engine);
    expect((await asRoot(fill("/var/tmp/x"))).exitCode).toBe(1);
    expect(await said(engine)).toEqual([
      "what it wrote takes more than the 16 MB of disk that it may",
      [`recreate ${spec.name}-ssh`, `settle ${spec.name}-ssh`],
    ]);

    // Switched off, it is watched alone; what runs stays as it was made.
    const unbounded = await open({ isBoundingDisk: false });
    const { plan } = await unbounded.plan({ kind: "present", spec });
    expect(plan.steps.map(({ verb }) => verb)).toEqual(["write-project"]);
  });

  it("is watched on an engine that leaves its images to containerd, and does not say where a layer is", async () => {
    const engine = await deployOn({ settings: { features: { "containerd-snapshotter": true } } });
    expect([aboutDisk(engine), await probes()]).toEqual([[], ""]);
    expect((await asRoot(fill("/var/tmp/x"))).exitCode).toBe(0);
    expect(await said(engine)).toEqual([
      "what it wrote takes more than the 16 MB of disk that it may",
      [`recreate ${spec.name}-ssh`, `settle ${spec.name}-ssh`],
    ]);
  });

  it("is not known on an engine whose layers are no overlays, which is said of every decky there", async () => {
    own = await useOwnEngine({ settings: { "storage-driver": "vfs" } });
    const engine = await open();
    expect(aboutDisk(engine)).toEqual([
      "disk_not_watched: the engine's storage driver vfs does not tell what each container wrote",
    ]);
  });
});
