import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pruneSecrets, writeProject } from "@decnet/engine/execute/project-files";
import { createProjectObserver } from "@decnet/engine/observe/observe-project";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { testProgram } from "../support/programs.ts";
import { projectOf } from "../support/test-projects.ts";

const asWanted = { isThere: true, differing: [] };

describe("a project on disk", () => {
  let place: string;
  let folder: string;
  const writers: ChildProcess[] = [];

  /** A process that writes versions `<name>0` and `<name>1` by turns; here after its first one. */
  const startWriter = async (name: string) => {
    const child = spawn(process.execPath, [...testProgram("project-writer.ts"), folder, name], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    writers.push(child);
    await once(child.stdout, "data");
    return child;
  };
  const kill = async (child: ChildProcess) => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("the writer ended by itself");
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  /** Which version is there; throws when it is none, or half of one. */
  const versionOnDisk = async () => {
    const text = await readFile(join(folder, "compose.yaml"), "utf8");
    const { version }: { version: string } = JSON.parse(text);
    const wanted = projectOf(version);
    expect(text).toBe(wanted[1]?.content);
    expect(await readFile(join(folder, wanted[0]?.path ?? ""), "utf8")).toBe(wanted[0]?.content);
    return version;
  };

  beforeEach(async () => {
    place = await mkdtemp(join(tmpdir(), "decnet-test-"));
    folder = join(place, "project");
  });
  afterEach(async () => {
    for (const writer of writers.splice(0)) if (writer.exitCode === null && writer.signalCode === null) await kill(writer);
    await rm(place, { recursive: true });
  });

  it("is the old one or the new one after its writer was killed at any moment (W-15)", async () => {
    for (let round = 0; round < 12; round += 1) {
      const writer = await startWriter("a");
      for (let more = 0; more < round; more += 1) await once(writer.stdout ?? writer, "data");
      await kill(writer);
      expect(["a0", "a1"]).toContain(await versionOnDisk());
    }
    // A writer that comes later is not disturbed by what the others left behind.
    await writeProject(folder, projectOf("last"));
    expect(await versionOnDisk()).toBe("last");
  });

  it("is never a mixture while two write at the same time (W-15)", async () => {
    const both = await Promise.all(["a", "b"].map(startWriter));
    const seen = new Set<string>();
    for (let look = 0; look < 400 || seen.size < 2; look += 1) {
      seen.add(await versionOnDisk());
      if (look > 20_000) throw new Error(`only ${[...seen].join()} were seen`);
    }
    await Promise.all(both.map(kill));
    await versionOnDisk();
  });

  it("is the old one when the disk is full (W-15)", async () => {
    await mkdir(folder);
    await execa("mount", ["-t", "tmpfs", "-o", "size=1m", "decnet-test", folder]);
    try {
      const old = projectOf("old", 100);
      await writeProject(folder, old);
      for (let attempt = 0; attempt < 3; attempt += 1) {
        await expect(writeProject(folder, projectOf("new", 10_000))).rejects.toThrow("ENOSPC");
        expect(await createProjectObserver().observe(folder, old)).toEqual({ isThere: true, differing: ["secrets/ssh-new"] });
        expect((await readdir(folder)).sort()).toEqual(["compose.yaml", "secrets"]);
      }
      const smaller = projectOf("newer", 200);
      await writeProject(folder, smaller);
      await pruneSecrets(folder, smaller);
      expect(await createProjectObserver().observe(folder, smaller)).toEqual(asWanted);
    } finally {
      await execa("umount", [folder]);
    }
  });
});
