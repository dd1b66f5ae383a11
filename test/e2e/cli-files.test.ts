import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { inside } from "../support/use-master.ts";
import { useWeb, type Web } from "../support/use-web.ts";

describe("files and settings at the command line", () => {
  let web: Web;
  let file: string;
  const run = (...args: string[]) => web.cli.run(args);

  beforeAll(async () => {
    web = await useWeb();
    file = join(web.cli.folder, "settings.yaml");
  });
  beforeEach(() => web.reset());
  afterAll(() => web?.dispose());

  const head = "lan: { subnet: 10.1.2.0/24 }\ndeckies:\n  - name: a\n    services:\n";
  const refused = "sever_header: not a setting of http; did you mean server_header?";

  it("a setting that a service does not have is refused, or left out when told to", async () => {
    const before = await web.revision();
    for (const words of [["sever_header=x"], ["server_header=y", "sever_header=x"]]) {
      const added = await run("service", "add", web.name, "http", ...words);
      expect(added.exit).toBe(2);
      expect(added.stderr).toContain(refused);
    }
    expect(await web.revision()).toBe(before);
    const taken = await run("service", "add", web.name, "http", "sever_header=x", "server_header=y", "--ignore-unknown");
    expect(taken.exit).toBe(0);
    expect(taken.stderr).toContain(`! ${refused}`);
    const set = await run("service", "set", web.name, "http", "sever_header=x", "-y");
    expect(set.exit).toBe(2);
    expect(set.stderr).toContain(refused);
  });

  it("a text of a file is what was written, in the server as well", async () => {
    await web.add("http");
    await writeFile(file, "server_header: 0123\nextra_headers: { X-A: 1e3, X-B: yes, X-C: 007 }\n");
    expect((await run("service", "set", web.name, "http", "-f", file, "-y")).exit).toBe(0);
    const { stdout } = await inside(web.name, "curl", ["-s", "-i", "http://127.0.0.1/"]);
    for (const line of ["Server: 0123", "X-A: 1e3", "X-B: yes", "X-C: 007"]) expect(stdout).toContain(line);
  });

  it("what is wrong in a file is said with its place, and nothing changes", async () => {
    const before = await web.revision();
    await writeFile(file, `${head}      - { slug: ssh, config: { pasword: 1, user: ~ } }\n`);
    const planned = await run("fleet", "plan", "-f", file);
    expect(planned.exit).toBe(2);
    expect(planned.stderr).toContain(`${file}:5:32: pasword: not a setting of ssh; did you mean password?`);
    expect(planned.stderr).toContain(`${file}:5:44: user has no value`);
    await writeFile(file, `${head}      - { slug: ssh, config: { user: root } }\n`);
    const refusedThere = await run("fleet", "plan", "-f", file);
    expect(refusedThere.exit).toBe(2);
    expect(refusedThere.stderr).toContain(`${file}:5:38: user: cannot be root`);
    expect(await web.revision()).toBe(before);
  });
});
