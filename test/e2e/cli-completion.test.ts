import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/use-master.ts";
import { useWeb, type Web } from "../support/use-web.ts";

describe("decnet completion", () => {
  let web: Web;
  let operation: string;

  beforeAll(async () => {
    web = await useWeb();
    await web.reset();
    operation = (await web.cli.run(["service", "add", web.name, "http", "-o", "name"])).stdout;
    await writeFile(join(web.cli.folder, "changes.yaml"), "changes: []");
  });
  afterAll(() => web?.dispose());

  const offered = async (...words: string[]) => {
    const { stdout, stderr } = await web.cli.run(["__complete", "--", ...words]);
    expect(stderr).toBe("");
    return stdout.split("\n").filter((line) => line !== "");
  };
  // On a busy machine the master may take longer than the time limit of a key press; then nothing is offered.
  const completed = (...words: string[]) =>
    eventually(async () => {
      const found = await offered(...words);
      return found.length > 0 && found;
    });
  const values = async (...words: string[]) => (await completed(...words)).map((line) => line.split("\t")[0]);

  it("offers commands and options, with what they are", async () => {
    expect(await offered("serv")).toEqual(["service\tChange one service of one decky."]);
    expect(await values("op", "get", "--o")).toEqual(["--output-log", "--output"]);
    expect(await values("decky", "list", "-o", "j")).toEqual(["json", "jsonl"]);
    expect(await values("decky", "list", "--output=y")).toEqual(["--output=yaml"]);
    expect(await values("service", "set", "x", "ssh", "--on-failure", "")).toEqual(["undo", "keep"]);
    expect(await offered("nonsense", "")).toEqual([]);
  });

  it("offers what fits the place: deckies, services that are not there, settings and their values", async () => {
    expect(await completed("service", "add", "")).toContainEqual(
      expect.stringMatching(new RegExp(`^${web.name}\trunning on local`)),
    );
    const slugs = await values("service", "add", web.name, "");
    expect(slugs).toContain("telnet");
    expect(slugs).not.toContain("redis");
    expect((await values("service", "remove", web.name, "")).sort()).toEqual(["http", "redis", "ssh"]);
    expect(await values("service", "set", web.name, "ssh", "pass")).toEqual(["password=@"]);
    expect(await values("service", "set", web.name, "http", "fake_app=w")).toEqual(["fake_app=wordpress"]);
    expect(await values("batch", "--select", "name=x", "set", "http", "fake_app=w")).toEqual(["fake_app=wordpress"]);
  });

  it("offers revisions to restore, operations, contexts and files", async () => {
    expect(await values("decky", "restore", web.name, "r")).toContain("r1");
    expect(await values("decky", "revisions", web.name, "--diff", "r1")).toContainEqual(expect.stringMatching(/^r1\.\.r\d+$/));
    expect(await completed("op", "get", "op-")).toContainEqual(
      expect.stringMatching(new RegExp(`^${operation}\tadd-service ${web.name} succeeded`)),
    );
    expect(await values("--context", "")).toContain("local");
    expect(await offered("fleet", "apply", "-f", "")).toEqual([":files"]);
    expect(await values("token", "revoke", "")).toHaveLength(1);
  });

  it("is silent when the master is away, and still knows what it knew", async () => {
    const away = { DECNET_ADDRESS: "http://127.0.0.1:1" };
    const none = await web.cli.run(["__complete", "--", "decky", "get", ""], { env: away });
    expect(none).toEqual({ exit: 0, stdout: "", stderr: "" });
    const abroad = await web.cli.run(["__complete", "--", "decky", "get", ""], {
      env: { DECNET_ADDRESS: "http://192.0.2.1:7440" },
    });
    expect(abroad).toEqual({ exit: 0, stdout: "", stderr: "" });
  });

  it("works in a real bash, whose own word breaks stay as they are", async () => {
    const script = join(web.cli.folder, "completion.bash");
    await writeFile(script, (await web.cli.run(["completion", "bash"])).stdout);
    await completed("service", "set", web.name, "http", "fake_app=w");
    const wrapped = `decnet() { if [ "$1" = __complete ]; then ${web.cli.program} "$@"; else echo "ran:" "$@"; fi; }`;
    const screen = await bash([
      [`PS1='$ '; ${wrapped}; cd ${web.cli.folder}; before=$COMP_WORDBREAKS; . ${script}\n`, /\$ $/],
      ['[ "$before" = "$COMP_WORDBREAKS" ] && echo "breaks are the same"\n', /same\n\$ $/],
      [`decnet service set ${web.name} http fake_app=word\t`, /wordpress $/],
      ["\n", /ran: .*\n\$ $/],
      ["decnet decky list --output=jsonl\t", /jsonl $/],
      ["\n", /ran: .*jsonl\n\$ $/],
      ["decnet batch -f chan\t", /changes\.yaml $/],
      ["\n", /ran: .*yaml\n\$ $/],
      ["exit\n", /exit\n/],
    ]);
    expect(screen).toContain("ran: service set");
  });

  /** An interactive bash on a pseudo terminal: types each text, and waits until the screen ends as it should. */
  async function bash(dialogue: readonly (readonly [typed: string, then: RegExp])[]): Promise<string> {
    const child = execa("script", ["-qec", "bash --norc --noprofile -i", "/dev/null"], {
      env: { ...web.cli.env, TERM: "dumb" },
      extendEnv: false,
      reject: false,
      stdin: "pipe",
      timeout: 60_000,
    });
    let screen = "";
    child.stdout.on("data", (chunk: Buffer) => {
      screen += chunk.toString().replaceAll("\r", "");
    });
    for (const [typed, then] of dialogue) {
      const from = screen.length;
      child.stdin.write(typed);
      await eventually(async () => then.test(screen.slice(from)), 20_000).catch((error: unknown) => {
        throw new Error(`after ${JSON.stringify(typed)}:\n${screen}`, { cause: error });
      });
    }
    await child;
    return screen;
  }

  it("takes little longer than node itself takes to start", async () => {
    const times = async (program: string, args: string[]) => {
      const begun = performance.now();
      await execa(program, args, { env: web.cli.env, extendEnv: false, stdin: "ignore" });
      return performance.now() - begun;
    };
    const [bare, tab, help] = [[] as number[], [] as number[], [] as number[]];
    for (let round = 0; round < 9; round += 1) {
      bare.push(await times(process.execPath, ["-e", "0"]));
      tab.push(await times(web.cli.program, ["__complete", "--", "decky", "get", ""]));
      help.push(await times(web.cli.program, ["--help"]));
    }
    const median = (all: number[]) => all.sort((one, other) => one - other)[4] ?? 0;
    expect(median(tab) / median(bare)).toBeLessThan(3.5);
    expect(median(help) / median(bare)).toBeLessThan(4);
  });
});
