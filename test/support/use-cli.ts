import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { checkout } from "./checkout.ts";
import { decnetCommand, isBuilt } from "./programs.ts";
import { eventually, type TestMaster } from "./use-master.ts";

export interface Outcome {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TestCli {
  /** Runs the real command as a process, without a terminal. */
  run(args: readonly string[], more?: { env?: Record<string, string>; input?: string }): Promise<Outcome>;
  /** Runs it on a pseudo terminal and types an answer each time that a text has come. Everything that was shown is answered. */
  type(
    args: readonly string[],
    answers: readonly (readonly [shown: string, typed: string | (() => Promise<string>)])[],
  ): Promise<{ exit: number; screen: string }>;
  /** For a test that has to read along while the command runs. */
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
  /** A folder of the test's own, removed with the rest. */
  readonly folder: string;
  dispose(): Promise<void>;
}

/**
 * The `decnet` of this checkout, built, and pointed at the test's master; `isShipped`: not a bundle of it. Nothing of the user's
 * settings is used.
 */
export async function useCli(master: TestMaster, { isShipped = false } = {}): Promise<TestCli> {
  if (!isBuilt) await execa("tsc", ["-b", "packages/cli"], { cwd: checkout, preferLocal: true, localDir: checkout });
  const folder = await mkdtemp(join(tmpdir(), "decnet-cli-"));
  const wrapper = decnetCommand(isShipped);
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: folder,
    LANG: "C.UTF-8",
    TERM: "xterm",
    DECNET_ADDRESS: `http://127.0.0.1:${master.port}`,
    DECNET_TOKEN: master.token,
    DECNET_CONFIG: join(folder, "config.yaml"),
    // As if it were found on the PATH.
    DECNET_PROGRAM: "decnet",
    XDG_CACHE_HOME: join(folder, "cache"),
  };
  return {
    program: wrapper,
    env,
    folder,
    async run(args, more = {}) {
      const { exitCode, stdout, stderr } = await execa(wrapper, [...args], {
        env: { ...env, ...more.env },
        extendEnv: false,
        reject: false,
        timeout: 180_000,
        input: more.input ?? "",
      });
      return { exit: exitCode ?? -1, stdout, stderr };
    },
    async type(args, answers) {
      const command = [wrapper, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
      const child = execa("script", ["-qec", command, "/dev/null"], {
        env,
        extendEnv: false,
        reject: false,
        timeout: 180_000,
        stdin: "pipe",
      });
      let screen = "";
      child.stdout.on("data", (chunk: Buffer) => {
        screen += chunk.toString();
      });
      let from = 0;
      for (const [shown, typed] of answers) {
        await eventually(async () => screen.indexOf(shown, from) >= 0, 30_000).catch((error: unknown) => {
          throw new Error(`${shown} was not shown, but:\n${screen}`, { cause: error });
        });
        from = screen.length;
        child.stdin.write(typeof typed === "string" ? typed : await typed());
      }
      const { exitCode } = await child;
      return { exit: exitCode ?? -1, screen };
    },
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}
