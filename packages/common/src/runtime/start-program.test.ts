import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { runProgram, startProgram } from "./start-program.ts";

it("tells how a program ended and what it wrote last", async () => {
  expect(await runProgram("sh", ["-c", "echo a; echo b >&2; exit 3"])).toEqual({
    exitCode: 3,
    output: expect.stringMatching(/a|b/),
  });
  expect(await runProgram("sh", ["-c", "kill -9 $$"])).toMatchObject({ exitCode: undefined });
});

it("throws what keeps a program from starting", async () => {
  await expect(startProgram("/no/such/program", [])).rejects.toThrow("cannot run /no/such/program");
  await expect(startProgram("true", [], { cwd: "/no/such/folder" })).rejects.toThrow("cannot run true");
  expect((await runProgram("/no/such/program", [])).output).toContain("ENOENT");
});

it("ends with its signal", async () => {
  expect((await runProgram("sleep", ["60"], { signal: AbortSignal.timeout(50) })).exitCode).toBe(undefined);
  expect((await runProgram("sleep", ["60"], { signal: AbortSignal.abort() })).exitCode).toBe(undefined);
});

it("throws, and does not end this process, when no descriptor is left for a child", async () => {
  const module = fileURLToPath(new URL("start-program.ts", import.meta.url));
  const script = `
    import { openSync } from "node:fs";
    import { startProgram } from ${JSON.stringify(module)};
    try { for (;;) openSync("/dev/null"); } catch {}
    const told = await startProgram("true", []).catch((error) => error.cause.code);
    setTimeout(() => { console.log(told); process.exit(0); }, 100);`;
  const node = [process.execPath, "--import", "tsx", "--conditions=source", "--input-type=module", "--eval", script];
  const { stdout } = await promisify(execFile)("prlimit", ["--nofile=128:128", ...node]);
  expect(stdout.trim()).toBe("EMFILE");
});
