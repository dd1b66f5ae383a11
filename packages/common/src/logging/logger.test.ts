import { spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const module = fileURLToPath(new URL("logger.ts", import.meta.url));
const script = `
  import { createLogger } from ${JSON.stringify(module)};
  const log = createLogger("test", "info");
  let line = 0;
  const timer = setInterval(() => log.info(\`line \${(line += 1)}\`), 10);
  setTimeout(() => { clearInterval(timer); console.log("alive"); }, 300);`;

const patienceMs = 30_000;

it("a log that cannot be written, for want of room or of a reader, costs lines and not the process", {
  timeout: patienceMs,
}, async () => {
  const full = await open("/dev/full", "w");
  const start = (stderr: number | "pipe") =>
    spawn(process.execPath, ["--import", "tsx", "--conditions=source", "--input-type=module", "--eval", script], {
      stdio: ["ignore", "pipe", stderr],
    });
  try {
    const ended = [start(full.fd), start("pipe")].map(async (child) => {
      child.stderr?.destroy();
      let said = "";
      child.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
      const [code] = (await once(child, "close")) as [number | null];
      return [code, said.trim()];
    });
    expect(await Promise.all(ended)).toEqual([
      [0, "alive"],
      [0, "alive"],
    ]);
  } finally {
    await full.close();
  }
});

it("a reader that is slow stops nothing, and gets every line, also those from before the end", {
  timeout: patienceMs,
}, async () => {
  const talkative = `
    import { createLogger } from ${JSON.stringify(module)};
    const log = createLogger("test", "info");
    for (let line = 0; line < 5000; line += 1) log.info("a change was accepted", { operation: line });
    setTimeout(() => { console.log("alive"); }, 1);
    process.stdin.once("data", () => { log.info("the last", { operation: "" }); process.exit(0); });`;
  const child = spawn(process.execPath, ["--import", "tsx", "--conditions=source", "--input-type=module", "--eval", talkative], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  try {
    // Nothing of the log was read yet.
    const [said] = (await once(child.stdout, "data")) as [Buffer];
    expect(said.toString()).toBe("alive\n");
    let log = "";
    child.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
    child.stdin.write("end\n");
    await once(child, "close");
    const lines = log.trim().split("\n");
    expect([lines.length, JSON.parse(lines.at(-1) ?? "")]).toEqual([5_001, expect.objectContaining({ msg: "the last" })]);
  } finally {
    child.kill("SIGKILL");
  }
});
