import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startDaemon } from "../support/use-daemon.ts";
import { configFor, type Place, removeRules, usePlace } from "../support/use-master.ts";

/** What people have in their shells and home folders for other work, each of which once broke an apply or got into a decoy. */
const foreign = {
  DOCKER_HOST: "unix:///nowhere.sock",
  DOCKER_TLS_VERIFY: "1",
  DOCKER_CERT_PATH: "/nowhere",
  DOCKER_API_VERSION: "1.12",
  DOCKER_CONTEXT: "elsewhere",
  DOCKER_DEFAULT_PLATFORM: "linux/s390x",
  COMPOSE_ENV_FILES: "/nowhere.env",
  COMPOSE_FILE: "/nowhere.yaml",
  COMPOSE_PROFILES: "elsewhere",
  COMPOSE_PROJECT_NAME: "elsewhere",
  COMPOSE_PARALLEL_LIMIT: "none",
  http_proxy: "http://user:hidden-word@127.0.0.1:1",
};

describe("a master in the environment of somebody's shell", () => {
  let place: Place;
  let home: string;
  beforeEach(async () => {
    place = await usePlace();
    home = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await mkdir(join(home, ".docker"));
    const proxy = { httpProxy: "http://user:hidden-word@127.0.0.1:1", noProxy: "hidden-word" };
    await writeFile(
      join(home, ".docker/config.json"),
      JSON.stringify({ proxies: { default: proxy }, currentContext: "elsewhere" }),
    );
  });
  afterEach(async () => {
    await rm(home, { recursive: true });
    await place.dispose();
  });

  it("deploys on its own engine, and nothing of that environment reaches a decoy", async () => {
    const dataDir = join(place.dataDir, "on/the/way");
    const { dockerSocket, composePath } = configFor(place);
    const settings = {
      // Folders on the way are made, too.
      DECNET_DATA_DIR: dataDir,
      DECNET_PORT: "0",
      DECNET_DOCKER_SOCKET: dockerSocket,
      ...(composePath === undefined ? {} : { DECNET_COMPOSE: composePath }),
    };
    const master = startDaemon("master", [], { ...foreign, HOME: home, ...settings }, { umask: "077" });
    try {
      const { port } = await master.said("master started");
      const token = (await readFile(join(dataDir, "admin.token"), "utf8")).trim();
      const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${String(port)}`, token });
      const deckies = [{ name: `${place.prefix}-a`, services: [{ slug: "ssh" }] }];
      const { operation } = await createClient(FleetService, transport).applyFleet({ fleet: { lan: place.lan, deckies } });
      close();
      expect(operation?.error?.message ?? "").toBe("");
      for (const container of [`${place.prefix}-a`, `${place.prefix}-a-ssh`]) {
        const { stdout } = await execa("docker", ["inspect", "--format", "{{json .Config.Env}}", container]);
        // A decoy may have a name like SRV-PROXY-79.
        expect(stdout).not.toMatch(/hidden-word|"\w*_proxy=/i);
      }
    } finally {
      await master.stop();
      await removeRules(dataDir, place.prefix);
    }
  });
});
