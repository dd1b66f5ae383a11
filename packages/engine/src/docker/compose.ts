import { access } from "node:fs/promises";
import { join } from "node:path";
import { unlessAbsentLater } from "../observe/not-observed.ts";
import { type CommandResult, runCommand } from "./run-command.ts";

/** `docker compose` and `docker build` as typed functions. A failed command is a result with its output. */
export interface ComposeCli {
  up(options: {
    project: string;
    folder: string;
    service: string;
    recreate: boolean;
    signal: AbortSignal;
  }): Promise<CommandResult>;
  build(options: {
    tag: string;
    context: string;
    buildBase: string;
    signal: AbortSignal;
    onLine: (line: string) => void;
  }): Promise<CommandResult>;
  version(signal: AbortSignal): Promise<string>;
}

/** How long a command may take before it is stopped. */
export interface CommandTimeouts {
  readonly upMs: number;
  readonly buildMs: number;
}

const usualTimeouts: CommandTimeouts = { upMs: 120_000, buildMs: 20 * 60_000 };
const pluginFolders = [
  "/usr/local/lib/docker/cli-plugins",
  "/usr/local/libexec/docker/cli-plugins",
  "/usr/lib/docker/cli-plugins",
  "/usr/libexec/docker/cli-plugins",
];

export interface ComposeOptions {
  /** Of the Docker client: ours alone, so that nobody's proxies, credentials or contexts get into decoys. */
  readonly configFolder: string;
  /** The docker-compose program to run; without one it is looked for where Docker looks. */
  readonly pluginPath?: string | undefined;
  readonly timeouts?: CommandTimeouts | undefined;
}

/** Where a daemon with this data folder has its Docker client's configuration. */
export function dockerConfigOf(dataDir: string): string {
  return join(dataDir, "docker");
}

export function createComposeCli(
  socketPath: string,
  { configFolder, pluginPath, timeouts = usualTimeouts }: ComposeOptions,
): ComposeCli {
  const env = {
    DOCKER_HOST: `unix://${socketPath}`,
    DOCKER_CONFIG: configFolder,
    HOME: configFolder,
    COMPOSE_ANSI: "never",
    COMPOSE_PROGRESS: "plain",
    BUILDKIT_PROGRESS: "plain",
  };
  let command: Promise<readonly [string, ...string[]]> | undefined;
  // The plugin is a program of its own: calling it directly saves starting the docker client for each change.
  const compose = () => {
    command ??= (pluginPath === undefined ? findPlugin() : Promise.resolve([pluginPath] as const)).catch((error: unknown) => {
      command = undefined;
      throw error;
    });
    return command;
  };
  return {
    async up({ project, folder, service, recreate, signal }) {
      const [file, ...first] = await compose();
      const args = [
        ...first,
        "-p",
        project,
        "-f",
        join(folder, "compose.yaml"),
        "up",
        "-d",
        "--no-deps",
        "--no-build",
        "--quiet-pull",
      ];
      return runCommand(file, [...args, ...(recreate ? ["--force-recreate"] : []), service], {
        cwd: folder,
        env,
        timeoutMs: timeouts.upMs,
        signal,
        // The next life of a daemon that was killed plans on what it sees: nothing of this one may go on changing that.
        endsWithUs: true,
      });
    },
    build: ({ tag, context, buildBase, signal, onLine }) =>
      runCommand("docker", ["build", "--pull=false", "--build-arg", `BASE_IMAGE=${buildBase}`, "-t", tag, context], {
        env,
        timeoutMs: timeouts.buildMs,
        signal,
        onLine,
      }),
    async version(signal) {
      const [file, ...first] = await compose();
      return (await runCommand(file, [...first, "version", "--short"], { env, timeoutMs: 10_000, signal })).stdout.trim();
    },
  };
}

const notInFolder: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "EACCES"]);

async function findPlugin(): Promise<readonly [string, ...string[]]> {
  for (const folder of pluginFolders) {
    const file = join(folder, "docker-compose");
    const isHere = await unlessAbsentLater(() => access(file).then(() => true), notInFolder);
    if (isHere === true) return [file];
  }
  return ["docker", "compose"];
}
