import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { checkout } from "./checkout.ts";
import { freePorts } from "./free-ports.ts";
import { drawSubnets } from "./own-subnets.ts";
import { printedByKcat } from "./use-kafka.ts";

/** Of the images that `npm run test:deploy` builds. */
const tag = "test";
/** The first time everything is made; later it takes a few seconds. */
const patienceMs = 180_000;

/** One of the files of deploy/, with names, ports and subnets that nobody else on this machine has. */
export interface Composed {
  /** What `docker compose` prints, told as it says in that file. */
  run(args: readonly string[], input?: string): Promise<string>;
  /** The id of a service's container. */
  idOf(service: string): Promise<string>;
}

export interface Deployment {
  readonly controlPlane: Composed;
  readonly agent: Composed;
  /** For a LAN of decoys. */
  readonly lan: string;
  /** For names on the engine, which others use as well. */
  readonly prefix: string;
  /** All that Kafka has of a topic, by kcat: key, headers and data of each message. */
  read(topic: string): Promise<string[]>;
  dispose(): Promise<void>;
}

/** The control plane of deploy/compose.yaml and the worker of deploy/compose.agent.yaml; nothing of them runs yet. */
export async function useDeployment(): Promise<Deployment> {
  const prefix = `deploy-${randomBytes(3).toString("hex")}`;
  const folder = await mkdtemp(join(tmpdir(), "decnet-deploy-"));
  const subnet = drawSubnets();
  const [first, second, agentPort] = await freePorts(3);
  const { stdout: engineFolder } = await execa("docker", ["info", "--format", "{{.DockerRootDir}}"]);
  const compose = async (name: string, files: readonly string[], settings: Readonly<Record<string, unknown>>) => {
    const settingsFile = join(folder, `${name}.env`);
    await writeFile(
      settingsFile,
      Object.entries(settings)
        .map(([key, value]) => `${key}=${String(value)}\n`)
        .join(""),
    );
    const fixed = ["compose", "--env-file", settingsFile, ...files.flatMap((file) => ["-f", join(checkout, "deploy", file)])];
    const run: Composed["run"] = async (args, input = "") => {
      const { stdout } = await execa("docker", [...fixed, ...args], { input, timeout: patienceMs });
      return stdout;
    };
    return { run, idOf: async (service: string) => (await run(["ps", "-q", "-a", service])).trim() };
  };
  const controlPlane = await compose("control-plane", ["compose.yaml", "compose.subnets.yaml"], {
    ...{ PROJECT: prefix, IMAGE_TAG: tag, POSTGRES_PASSWORD: randomBytes(12).toString("hex") },
    ...{ BIND: "127.0.0.1", ADVERTISE: "127.0.0.1", MASTER_1_PORT: first, MASTER_2_PORT: second },
    ...{ DATA_SUBNET: subnet(0), OUTSIDE_SUBNET: subnet(1) },
  });
  const agent = await compose("agent", ["compose.agent.yaml"], {
    ...{ AGENT_PROJECT: `${prefix}-agent`, IMAGE_TAG: tag, DECNET_AGENT_PORT: agentPort },
    ...{ DECNET_AGENT_DIR: join(folder, "agent"), DOCKER_ROOT_DIR: engineFolder.trim() },
  });
  return {
    controlPlane,
    agent,
    lan: subnet(2),
    prefix,
    async read(topic) {
      const format = `{{(index .NetworkSettings.Networks "${prefix}_data").IPAddress}}`;
      const { stdout: address } = await execa("docker", ["inspect", "-f", format, await controlPlane.idOf("kafka")]);
      // The broker tells its clients a name that this machine does not know.
      const hosts = join(folder, "hosts");
      await writeFile(hosts, `127.0.0.1 localhost\n${address.trim()} kafka\n`);
      const script = 'mount --bind "$1" /etc/hosts && exec kcat -b kafka:9092 -C -t "$2" -o beginning -e -q -f "%k %h %s\\n"';
      const args = ["--mount", "sh", "-ec", script, "kcat", hosts, topic];
      const stdout = await printedByKcat(execa("unshare", args, { stdin: "ignore", timeout: 30_000 }));
      return stdout.split("\n").filter((line) => line !== "");
    },
    async dispose() {
      await agent.run(["run", "--rm", "-T", "agent", "leave", "-y"]).catch(() => undefined);
      await agent.run(["down", "--volumes", "--remove-orphans", "--timeout", "10"]);
      await controlPlane.run(["down", "--volumes", "--remove-orphans", "--timeout", "10"]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
