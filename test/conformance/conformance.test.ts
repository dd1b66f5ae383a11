import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createEngineApi } from "@decnet/engine/docker/engine-api";
import { type Engine, openEngine } from "@decnet/engine/engine";
import { writeProject } from "@decnet/engine/execute/project-files";
import { deckyNames } from "@decnet/engine/render/names";
import { renderDecky } from "@decnet/engine/render/render-decky";
import type { DeckySpec, ServiceSpec } from "@decnet/engine/spec";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { changedBy, compose, engineOptions, pinsMac, renderContext, specIn } from "../support/conformance.ts";
import { containersOf, dockerLines, type Place, usePlace } from "../support/use-master.ts";

/*
 * What we rely on in the engine and in compose. `npm run matrix` runs this file against other pairs of them;
 * DECNET_DOCKER_SOCKET and DECNET_COMPOSE name the pair.
 */

const canPin = await pinsMac();
const redis: ServiceSpec = { slug: "redis", config: { maxmemory_mb: 16 } };
const http: ServiceSpec = { slug: "http", config: {} };
const ftp: ServiceSpec = { slug: "ftp", config: {} };
const otherRedis: ServiceSpec = { slug: "redis", config: { maxmemory_mb: 32 } };

const nothing = () => undefined;

describe("compose, typed by hand on a project that we rendered, recreates exactly what differs", () => {
  let place: Place;
  const services = [redis, http, ftp];

  const up = async (wanted: readonly ServiceSpec[], flags: readonly string[], slugs: readonly string[]) => {
    const context = await renderContext(place, canPin);
    const spec = specIn(place, wanted);
    const names = deckyNames(spec.scope, spec.name);
    const { project, files } = renderDecky(spec, context);
    await writeProject(context.projectDir, files);
    const targets = slugs.map((slug) => (slug === "base" ? names.base : names.service(slug)));
    const file = join(context.projectDir, "compose.yaml");
    const { all, exitCode } = await compose(place, ["-p", project, "-f", file, "up", "-d", ...flags, ...targets]);
    expect(exitCode, all).toBe(0);
  };

  beforeAll(async () => {
    place = await usePlace();
    await execa("docker", ["network", "create", "--subnet", place.lan.subnet, place.lan.name]);
    for (const slug of ["base", "redis", "http", "ftp"]) await up(services, ["--no-deps"], [slug]);
  });
  afterAll(() => place.dispose());

  it.each([
    { row: "up --no-deps of one service again", wanted: services, flags: ["--no-deps"], slugs: ["redis"], changed: [] },
    {
      row: "up --no-deps of the base and every service after that",
      wanted: services,
      flags: ["--no-deps"],
      slugs: ["base", "redis", "http", "ftp"],
      changed: [],
    },
    { row: "up of the whole project", wanted: services, flags: [], slugs: [], changed: [] },
    { row: "up --no-deps of one service after a whole up", wanted: services, flags: ["--no-deps"], slugs: ["http"], changed: [] },
    { row: "a whole up after one service changed", wanted: [otherRedis, http, ftp], flags: [], slugs: [], changed: ["redis"] },
    {
      row: "up --remove-orphans after a service left the file",
      wanted: [otherRedis, http],
      flags: ["--remove-orphans"],
      slugs: [],
      changed: ["ftp"],
    },
  ])("$row", async ({ wanted, flags, slugs, changed }) => {
    const touched = await changedBy(place.prefix, () => up(wanted, flags, slugs));
    expect(touched).toEqual(changed.map((slug) => `${place.prefix}-a-${slug}`));
    const left = [...(await containersOf(place.prefix)).keys()];
    expect(left).toHaveLength(1 + wanted.length);
  });
});

describe("a decky of our engine", () => {
  let place: Place;
  let engine: Engine;
  let spec: DeckySpec;
  // biome-ignore lint/suspicious/noTemplateCurlyInString: what compose would fill in is the point
  const banner = "$LEAK ${LEAK} $$LEAK ${LEAK:-x} $";

  const apply = (target: Parameters<Engine["apply"]>[0]) =>
    engine.apply(target, { expectedDigest: "", onPlan: nothing, onStep: nothing, signal: AbortSignal.timeout(60_000) });

  beforeAll(async () => {
    place = await usePlace();
    spec = specIn(place, [redis, { slug: "ftp", config: { banner, password: "p$LEAK" } }]);
    engine = await openEngine(await engineOptions(place));
    const { failure, judged } = await apply({ kind: "present", spec });
    expect(failure).toBeUndefined();
    expect(judged?.state).toBe("running");
  });
  afterAll(() => place.dispose());

  it("gets dollars as they are, whatever compose's environment holds", async () => {
    const format = "{{range .Config.Env}}{{println .}}{{end}}";
    const seen = () => dockerLines(["inspect", "--format", format, `${spec.name}-ftp`]);
    expect(await seen()).toContain(`FTP_BANNER=${banner}`);
    const { projectDir } = await renderContext(place, canPin);
    const file = join(projectDir, "compose.yaml");
    const { all, exitCode } = await compose(place, ["-f", file, "up", "-d", "--no-deps", "--force-recreate", `${spec.name}-ftp`]);
    expect(exitCode, all).toBe(0);
    expect(await seen()).toContain(`FTP_BANNER=${banner}`);
  });

  it("is called detached after a restart of its base, and a restart of the services heals it", async () => {
    const api = createEngineApi((await engineOptions(place)).socketPath);
    const netns = async (suffix: string) => (await api.inspect(`${spec.name}${suffix}`))?.netns;
    expect(await netns("-redis")).toBe(await netns(""));
    await execa("docker", ["restart", "-t", "1", spec.name]);
    expect(await netns("-redis")).toBeDefined();
    expect(await netns("-redis")).not.toBe(await netns(""));
    const { deckies } = await engine.check([spec]);
    expect([...deckies.values()].map(({ judged }) => judged.state)).toEqual(["detached"]);

    const before = await dockerLines(["ps", "-aq", "--no-trunc", "--filter", `name=^/${spec.name}`]);
    const { plan, judged } = await apply({ kind: "present", spec });
    const verbs = plan.steps.map((step) => step.verb).filter((kind) => kind !== "settle");
    // Its rules went with its namespace.
    expect(verbs).toEqual(["guard", "restart", "restart"]);
    expect(judged?.state).toBe("running");
    expect(await netns("-redis")).toBe(await netns(""));
    expect(await dockerLines(["ps", "-aq", "--no-trunc", "--filter", `name=^/${spec.name}`])).toEqual(before);
  });

  it("has its MAC address, also after its base was made again, or the engine says that it has not", async () => {
    const mac = async () => {
      const format = "{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}";
      return (await dockerLines(["inspect", "--format", format, spec.name]))[0];
    };
    await execa("docker", ["rm", "-f", spec.name]);
    expect((await apply({ kind: "present", spec })).judged?.state).toBe("running");
    expect(engine.warnings.map((warning) => warning.split(":")[0])).toEqual(canPin ? [] : ["mac_not_pinned"]);
    expect((await mac()) === spec.attachments[0].mac).toBe(canPin);
  });

  it("is removed by the ids of its containers, without its file", async () => {
    const { projectDir } = await renderContext(place, canPin);
    await rm(join(projectDir, "compose.yaml"));
    const { failure, observed } = await apply({ kind: "absent", scope: spec.scope, name: spec.name });
    expect(failure).toBeUndefined();
    expect(observed.containers).toEqual([]);
    expect([...(await containersOf(place.prefix)).keys()]).toEqual([]);
  });
});

it("a network that two deckies want at the same moment is made once, and found by a third", async () => {
  const place = await usePlace();
  const { instance, socketPath } = await engineOptions(place);
  const api = createEngineApi(socketPath);
  const rights = { instance, adopted: new Set<string>() };
  const [{ lan }] = specIn(place, []).attachments;
  try {
    await Promise.all([api.createNetwork(lan, rights), api.createNetwork(lan, rights)]);
    await api.createNetwork(lan, rights);
    expect(await dockerLines(["network", "ls", "-q", "--filter", `name=^${lan.name}$`])).toHaveLength(1);
  } finally {
    await place.dispose();
  }
});

describe("a MAC address in the compose file", () => {
  let place: Place;
  const second = () => `${place.prefix}-two`;
  const macs = ["52:54:00:aa:00:01", "52:54:00:aa:00:02"];

  const project = () => ({
    name: `decnet-${place.prefix}`,
    services: {
      base: {
        container_name: `${place.prefix}-mac`,
        image: debianBase,
        command: ["sleep", "infinity"],
        init: true,
        stop_grace_period: "1s",
        networks: { one: { mac_address: macs[0] }, two: { mac_address: macs[1] } },
      },
    },
    networks: { one: { external: true, name: place.lan.name }, two: { external: true, name: second() } },
  });
  const up = (...flags: string[]) => compose(place, ["-f", "-", "up", "-d", ...flags], project());
  const seen = () => {
    const format = "{{range .NetworkSettings.Networks}}{{println .MacAddress}}{{end}}";
    return dockerLines(["inspect", "--format", format, `${place.prefix}-mac`]);
  };

  beforeAll(async () => {
    place = await usePlace();
    await execa("docker", ["network", "create", "--subnet", place.lan.subnet, place.lan.name]);
    await execa("docker", ["network", "create", "--subnet", place.lan.subnet.replace("10.77", "10.79"), second()]);
  });
  afterAll(async () => {
    await dockerLines(["ps", "-aq", "--filter", `name=^/${place.prefix}`]).then((ids) =>
      execa("docker", ["rm", "-f", ...ids], { reject: false }),
    );
    await execa("docker", ["network", "rm", second()]);
    await place.dispose();
  });

  if (canPin)
    it("is pinned for each network, over recreates (MAC pinned)", async () => {
      for (const flags of [[], ["--force-recreate"], ["--force-recreate"]]) {
        const { all, exitCode } = await up(...flags);
        expect(exitCode, all).toBe(0);
        expect((await seen()).sort()).toEqual(macs);
      }
    });
  else
    it("is refused or ignored below Engine 25 (MAC not pinned)", async () => {
      const { exitCode } = await up();
      const found = exitCode === 0 ? await seen() : [];
      expect(found.filter((mac) => macs.includes(mac))).toEqual([]);
    });
});
