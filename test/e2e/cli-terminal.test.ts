import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { holdSession } from "../support/hold-session.ts";
import { useWeb, type Web } from "../support/use-web.ts";

describe("decnet on a terminal", () => {
  let web: Web;

  beforeAll(async () => {
    web = await useWeb();
  });
  beforeEach(() => web.reset());
  afterAll(() => web?.dispose());

  it("asks, and No is the default", async () => {
    const before = await web.revision();
    const no = await web.cli.type(["service", "remove", web.name, "redis"], [["[y/N]", "\n"]]);
    expect(no.exit).toBe(2);
    expect(no.screen).toContain(`Remove redis from ${web.name} on local? [y/N]`);
    expect(await web.revision()).toBe(before);
  });

  it("rewrites lines and paints marks", async () => {
    const added = await web.cli.type(["service", "add", web.name, "telnet"], []);
    expect(added.exit).toBe(0);
    expect(added.screen).toContain("\u001b[32m✔\u001b[39m create");
    expect(added.screen).toContain("\r\u001b[2K");
  });

  it("paints nothing with --no-color", async () => {
    const removed = await web.cli.type(["--no-color", "service", "remove", web.name, "redis"], [["[y/N]", "y\n"]]);
    expect(removed.exit).toBe(0);
    expect(removed.screen).not.toContain("\u001b[32m");
  });

  it("asks for a secret without showing it", async () => {
    const set = await web.cli.type(
      ["service", "set", web.name, "redis", "password"],
      [
        ["password: ", "hunter-four\n"],
        ["[y/N]", "y\n"],
      ],
    );
    expect(set.exit).toBe(0);
    expect(set.screen).not.toContain("hunter");
  });

  it("refuses what moved while the question was open, and says who moved it", async () => {
    const moves = async () => {
      await web.master.mutations.addService({ decky: { name: web.name }, service: "telnet", options: { reason: "meanwhile" } });
      return "y\n";
    };
    const late = await web.cli.type(["service", "set", web.name, "redis", "maxmemory_mb=32"], [["[y/N]", moves]]);
    expect(late.exit).toBe(4);
    expect(late.screen).toContain("PLAN_CHANGED");
    expect(late.screen).toContain("meanwhile");
  });

  it("waits until no session is open when asked to", async () => {
    const session = await holdSession(web.name);
    const leave = async () => {
      session.close();
      return "";
    };
    const waited = await web.cli.type(
      ["service", "set", web.name, "ssh", "user=anna"],
      [
        ["w = wait until idle", "w\n"],
        ["waiting until no session is open", leave],
      ],
    );
    expect(waited.exit).toBe(0);
  });

  it("leaves the operation running at Ctrl-C, and says how to stop it", async () => {
    const left = await web.cli.type(["service", "add", web.name, "silent"], [["settle", "\u0003"]]);
    expect(left.exit).toBe(130);
    const id = /operation (op-[0-9a-f]+) goes on; cancel: decnet op cancel op-/.exec(left.screen)?.[1] ?? "";
    await web.cli.run(["op", "cancel", id]);
    expect([4, 7]).toContain((await web.cli.run(["op", "watch", id])).exit);
  });

  it("changes nothing at Ctrl-C in a question", async () => {
    const before = await web.revision();
    const stopped = await web.cli.type(["service", "remove", web.name, "redis"], [["[y/N]", "\u0003"]]);
    expect(stopped.exit).toBe(130);
    expect(stopped.screen).toContain("nothing was changed");
    expect(await web.revision()).toBe(before);
  });
});
