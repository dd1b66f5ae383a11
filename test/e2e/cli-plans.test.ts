import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { useWeb, type Web } from "../support/use-web.ts";

/** Plans as files, the commands that they advise, and calls that are sent twice. */
describe("decnet and plans", () => {
  let web: Web;
  let file: string;

  beforeAll(async () => {
    web = await useWeb();
    file = join(web.cli.folder, "fleet.yaml");
  });
  beforeEach(async () => {
    await web.reset();
    await writeFile(file, fleet(["ssh", "redis", "http"]));
  });
  afterAll(() => web?.dispose());

  const fleet = (slugs: readonly string[]) =>
    JSON.stringify({ lan: web.master.lan, deckies: [{ name: web.name, services: slugs.map((slug) => ({ slug })) }] });
  /** As a shell runs it, where `decnet` is the wrapper. */
  const shell = (line: string, input = "") =>
    execa("bash", ["-c", line.replaceAll(/(^|[|;] *)decnet /g, `$1${web.cli.program} `)], {
      env: web.cli.env,
      extendEnv: false,
      reject: false,
      input,
    });
  const advised = (text: string) => /to do exactly this:\n {2}(.*)/.exec(text)?.[1] ?? "none";

  it("writes the plan to stdout, and the command that applies this plan beside it", async () => {
    const planned = await shell(`decnet fleet plan -f ${file}`);
    expect(planned.stdout).toMatch(/^Plan for the fleet: 1 to change/);
    expect(advised(planned.stderr)).toMatch(new RegExp(`^decnet fleet apply -f ${file} --expect-plan [0-9a-f]+$`));
    expect((await shell(`${advised(planned.stderr)} -y`)).exitCode).toBe(0);
    expect((await shell(`decnet fleet plan -f ${file} --exit-code`)).exitCode).toBe(0);
  });

  it("reads a plan's file from standard input, and says how to give it again", async () => {
    const planned = await shell(`decnet fleet plan -f - < ${file}`);
    expect(advised(planned.stderr)).toMatch(new RegExp(`fleet apply -f - --expect-plan [0-9a-f]+ < ${file}$`));
    const piped = await shell("decnet fleet plan -f -", fleet(["ssh"]));
    expect(advised(piped.stderr)).toMatch(/fleet apply -f - --expect-plan [0-9a-f]+ < FILE$/);
    expect((await shell(advised(planned.stderr).replace(" < ", " -y < "))).exitCode).toBe(0);
  });

  it("starts nothing twice, and refuses the same request id for something else with exit code 4", async () => {
    const add = ["service", "add", web.name, "http", "--request-id", "once-1"];
    const first = await web.cli.run([...add, "-o", "name"]);
    expect(first.exit).toBe(0);
    const again = await web.cli.run([...add, "-o", "name"]);
    expect(again).toMatchObject({ exit: 0, stdout: first.stdout });
    for (const other of [
      ["service", "add", web.name, "ftp"],
      ["service", "add", web.name, "http", "fake_app=tomcat"],
      ["service", "remove", web.name, "redis", "-y"],
      ["fleet", "apply", "-f", file, "-y"],
    ]) {
      const before = await web.revision();
      const refused = await web.cli.run([...other, "--request-id", "once-1"]);
      expect([refused.exit, refused.stderr]).toEqual([4, expect.stringContaining("REQUEST_ID_REUSED")]);
      expect(await web.revision()).toBe(before);
    }
  });

  it.each([
    ["service set WEB redis maxmemory_mb=32 -y"],
    ["service remove WEB redis --accept cut-sessions -y"],
    ["fleet apply -f FILE -y"],
    ["decky teardown WEB --accept teardown=WEB"],
  ])("returns the same operation for the same call: %s", async (line) => {
    const words = line.split(" ").map((word) => word.replaceAll("WEB", web.name).replace("FILE", file));
    const args = [...words, "--request-id", `twice-${words[0]}-${words[1]}`, "-o", "name"];
    const first = await web.cli.run(args);
    expect(first).toMatchObject({ exit: 0, stdout: expect.stringMatching(/^op-/) });
    expect(await web.cli.run(args)).toMatchObject({ exit: 0, stdout: first.stdout });
  });
});
