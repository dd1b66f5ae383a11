import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { certificateHash } from "@decnet/common/pki/certificates";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestCli, useCli } from "../support/use-cli.ts";
import { eventually } from "../support/use-master.ts";
import { type Swarm, useSwarm, type Worker } from "../support/use-swarm.ts";

const root = resolve(import.meta.dirname, "../..");

/** Examples that no test may run, and why. */
const notRun: readonly (readonly [line: RegExp, why: string])[] = [
  [
    /^npm (run (up|down|lab)|test)\b/,
    "they set up or stop the whole machine; scripts/test.sh and lab.test.ts run what is behind them",
  ],
  [/^git pull$/, "it brings another version"],
  [/^nsenter /, "its words are placeholders; lab.test.ts enters hosts that way"],
  [/agent join /, "its token is a placeholder; the example of host invite below runs it with a real one"],
];

/** Texts whose examples no test may run, and what shows the same. */
const notRunFiles: Readonly<Record<string, string>> = {
  "docs/backups.md": "its folder and its passphrase are the reader's; backup.test.ts makes backups and restores them",
  "docs/bus.md": "its brokers are the reader's; bus.test.ts and bus-commands.test.ts have brokers of their own",
  "docs/production.md": "it sets up three servers; unit-capabilities.test.ts runs a master as its unit does",
  "docs/webhooks.md": "it sends to the internet; webhooks.test.ts sends to a receiver of its own",
};

/** Examples that run in another way than they stand there. */
const runOtherwise: readonly (readonly [line: RegExp, how: string])[] = [
  // It has no end of its own.
  [/^decnet status --watch$/, 'timeout -s INT 4 $& || [ "$?" -gt 123 ]'],
  // The masters of the tests call their version "test", which doctor does not like.
  [/decnet doctor.*$/, '$& || [ "$?" = 1 ]'],
];

interface Block {
  readonly at: string;
  readonly lines: readonly string[];
}

/** The shell examples of a text: blocks marked sh, and what comes after `$ ` in those marked console. Pure. */
function examplesIn(path: string, text: string): Block[] {
  return [...text.matchAll(/^```(sh|console)\n([\s\S]*?)^```/gm)].map(([, kind, body = ""], index) => {
    const all = body.replaceAll("\\\n", " ").split("\n");
    const lines = kind === "sh" ? all : all.filter((line) => line.startsWith("$ ")).map((line) => line.slice(2));
    return { at: `${path} ${index + 1}`, lines: lines.filter((line) => line.trim() !== "") };
  });
}

async function readExamples(): Promise<Block[]> {
  const docs = (await readdir(join(root, "docs"))).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
  const paths = ["README.md", ...docs.sort()];
  return (await Promise.all(paths.map(async (path) => examplesIn(path, await readFile(join(root, path), "utf8"))))).flat();
}

const blocks = await readExamples();
const isRun = (line: string) => !notRun.some(([pattern]) => pattern.test(line)) && !/host invite/.test(line);

it("every command of the docs stands in a block that is run", async () => {
  expect(blocks.flatMap(({ lines }) => lines).filter(isRun).length).toBeGreaterThan(40);
  for (const path of [
    "README.md",
    ...(await readdir(join(root, "docs"))).flatMap((name) => (name.endsWith(".md") ? `docs/${name}` : [])),
  ]) {
    const plain = [...(await readFile(join(root, path), "utf8")).matchAll(/^```\n([\s\S]*?)^```/gm)].map(([, body = ""]) => body);
    expect(plain.filter((body) => /^(\$ )?(\.\/)?(decnet|curl|grpcurl|npm) /m.test(body))).toEqual([]);
  }
});

describe("the examples of the docs", () => {
  let swarm: Swarm;
  let cli: TestCli;
  let worker: Worker;
  let folder: string;

  beforeAll(async () => {
    swarm = await useSwarm({ hosts: 1, join: false });
    cli = await useCli(swarm.master, { isShipped: true });
    const [only] = swarm.workers;
    if (only === undefined) throw new Error("a worker is needed");
    worker = only;
    folder = join(cli.folder, "checkout");
    await mkdir(join(folder, "examples"), { recursive: true });
    await mkdir(join(cli.folder, "bin"));
    for (const at of [join(folder, "decnet"), join(cli.folder, "bin", "decnet")]) await symlink(cli.program, at);
    for (const name of ["fleet.yaml", "swarm.yaml"])
      await writeFile(join(folder, "examples", name), own(await readFile(join(root, "examples", name), "utf8")));
    await writeFile(join(folder, "secret.txt"), "correct horse");
    await writeFile(join(folder, "prod.token"), swarm.master.token);
    await writeFile(join(folder, "ca.pem"), await readFile(caFile(), "utf8"));
    await writeFile(join(folder, "changes.yaml"), own("changes: [{add: {decky: {name: web-01}, service: http}}]\n"));
  });
  afterAll(async () => {
    await cli?.dispose();
    await swarm?.dispose();
  });

  const caFile = () => join(swarm.master.config.dataDir, "pki", "ca.pem");

  /** The same for this test: its master, its network, and names that nothing else on the engine has. */
  function own(text: string): string {
    const { prefix, lan, port, tlsPort, config } = swarm.master;
    return text
      .replaceAll(/\b(web|cache|db|jump)-(?=\d|\[|\*)/g, `${prefix}-$1-`)
      .replaceAll("  subnet: 10.66.0.0/24", `  name: ${lan.name}\n  subnet: ${lan.subnet}`)
      .replaceAll("127.0.0.1:7440", `127.0.0.1:${port}`)
      .replaceAll("master.example:7443", `${swarm.lab.masterAddress}:${tlsPort}`)
      .replaceAll("/var/lib/decnet/master/admin.token", config.adminTokenFile);
  }

  /** Runs lines in one bash on a terminal, and agrees to every question. */
  async function run(lines: readonly string[]): Promise<{ exit: number | undefined; screen: string }> {
    const script = join(folder, "block.sh");
    const ca = await readFile(caFile(), "utf8");
    const words = lines.map((line) =>
      runOtherwise.reduce(
        (text, [pattern, how]) => text.replace(pattern, how),
        own(line).replace("sha256:…", `sha256:${certificateHash(ca)}`),
      ),
    );
    await writeFile(script, ["set -ex -o pipefail", ...words, ""].join("\n"));
    const path = [join(cli.folder, "bin"), join(root, "build/tools"), process.env["PATH"]].join(":");
    const child = execa("script", ["-qec", `bash ${script}`, "/dev/null"], {
      cwd: folder,
      env: { ...cli.env, PATH: path },
      extendEnv: false,
      reject: false,
      stdin: "pipe",
      timeout: 240_000,
    });
    let screen = "";
    let answered = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      screen += chunk.toString();
      const question = /\[y\/N[^\]]*\] |Type (\S+) to go on: /.exec(screen.slice(answered));
      if (question === null) return;
      answered += question.index + question[0].length;
      child.stdin.write(`${question[1] ?? "y"}\n`);
    });
    const { exitCode } = await child;
    return { exit: exitCode, screen };
  }

  it("invites a worker, which joins with the line that is printed", async () => {
    const invite = blocks.flatMap(({ lines }) => lines).find((line) => /^(\.\/)?decnet (.* )?host invite/.test(line)) ?? "";
    expect(invite).toContain("--name edge-1");
    const child = execa("bash", ["-c", invite], { cwd: folder, env: cli.env, extendEnv: false, stdin: "ignore" });
    let shown = "";
    child.stdout.on("data", (chunk: Buffer) => {
      shown += chunk.toString();
    });
    const secret = await eventually(async () => /agent join (\S+) --run/.exec(shown)?.[1]);
    expect((await worker.agent("join", secret)).exitCode).toBe(0);
    await worker.start();
    expect((await child).exitCode).toBe(0);
  });

  const files = [...new Set(blocks.map(({ at }) => at.split(" ")[0] ?? ""))].filter((path) => !(path in notRunFiles));
  it.each(files)("of %s work", async (path) => {
    const reset = ["fleet apply -f examples/fleet.yaml -y --accept teardown", "host activate edge-1"];
    expect(await run(reset.map((line) => `./decnet ${line}`))).toMatchObject({ exit: 0 });
    for (const { at, lines } of blocks.filter((block) => block.at.startsWith(`${path} `))) {
      const wanted = lines.filter(isRun);
      if (wanted.length === 0) continue;
      const { exit, screen } = await run(wanted);
      expect(exit, `${at}:\n${screen}`).toBe(0);
    }
  });
});
