import { createServer, type Socket } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { holdSession } from "../support/hold-session.ts";
import { parseLines, useWeb, type Web } from "../support/use-web.ts";

describe("decnet", () => {
  let web: Web;
  const run = (...args: string[]) => web.cli.run(args);

  beforeAll(async () => {
    web = await useWeb();
  });
  beforeEach(() => web.reset());
  afterAll(() => web?.dispose());

  describe("refuses", () => {
    it("to cut open sessions unless that is accepted", async () => {
      const session = await holdSession(web.name);
      try {
        const args = ["service", "set", web.name, "ssh", "user=maria"];
        const refused = await run(...args, "-y");
        expect(refused.exit).toBe(2);
        expect(refused.stderr).toMatch(/needs --accept cut-sessions \(.*1 .*session.*\); nothing was changed/);
        const waited = await run(...args, "--wait-idle", "1ms");
        expect(waited.exit).toBe(2);
        expect(waited.stderr).toContain("nothing was changed");
        expect(session.isOpen()).toBe(true);
        const accepted = await run(...args, "--accept", "cut-sessions");
        expect(accepted.exit).toBe(0);
      } finally {
        session.close();
      }
    });

    it("to act without an answer", async () => {
      const before = await web.revision();
      const refused = await run("service", "remove", web.name, "redis");
      expect(refused).toMatchObject({ exit: 2, stdout: "" });
      expect(refused.stderr).toContain("needs -y");
      const torn = await run("decky", "teardown", web.name, "-y");
      expect(torn.exit).toBe(2);
      expect(torn.stderr).toContain(`needs --accept teardown=${web.name}`);
      expect(await web.revision()).toBe(before);
    });

    it.each<[exit: number, reason: string, args: string, more: string]>([
      [2, "CONFIG_INVALID", "service add WEB http response_code=many", "field: "],
      [2, "SERVICE_UNKNOWN", "service add WEB htttp", "did you mean http?"],
      [2, "SERVICE_IS_SINGLETON", "service add WEB sniffer", ""],
      [2, "settings are key=value", "service add WEB http =x", ""],
      [2, "--output is one of", "status -o xml", ""],
      [3, "DECKY_NOT_FOUND", "decky get WEBx", "did you mean WEB?"],
      [3, "TOPOLOGY_NOT_FOUND", "decky get corp/WEB", ""],
      [3, "OPERATION_NOT_FOUND", "op get op-0", "decnet op list"],
      [4, "SERVICE_ALREADY_PRESENT", "service add WEB redis", "decnet service set"],
      [4, "SERVICE_NOT_PRESENT", "service remove WEB reddis -y", "did you mean redis?"],
      [4, "REVISION_CONFLICT", "service add WEB http --expect r99999", ""],
      [5, "UNAUTHENTICATED", "status --token wrong", ""],
      [6, "MASTER_UNREACHABLE", "status --address http://127.0.0.1:1", "decnet doctor"],
    ])("with exit code %i and %s, a next step and no change: decnet %s", async (exit, reason, args, more) => {
      const before = await web.revision();
      const refused = await run(...args.replace("WEB", web.name).split(" "));
      expect(refused).toMatchObject({ exit, stdout: "" });
      expect(refused.stderr).toContain(reason);
      expect(refused.stderr).toContain(more.replace("WEB", web.name));
      expect(await web.revision()).toBe(before);
    });

    it("in a form for programs as well", async () => {
      const refused = await run("decky", "get", "nobody", "-o", "jsonl");
      expect(parseLines(refused.stdout)).toEqual([
        expect.objectContaining({ type: "result", reason: "DECKY_NOT_FOUND", exit: 3 }),
      ]);
      const { error } = JSON.parse((await run("decky", "get", "nobody", "--json")).stdout) as { error: { exit: number } };
      expect(error.exit).toBe(3);
    });

    it("to wait for a master that does not answer in time", async () => {
      const sockets = new Set<Socket>();
      const silent = createServer((socket) => sockets.add(socket));
      await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
      const address = silent.address();
      const port = typeof address === "object" ? address?.port : undefined;
      const doctor = await run("doctor", "--address", `http://127.0.0.1:${port}`);
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => silent.close(resolve));
      expect(doctor.exit).toBe(6);
      expect(doctor.stdout).toContain("✖ address");
    });
  });

  describe("fails", () => {
    it("with 7 when the change was undone: cause, state now, next step", async () => {
      const before = await web.revision();
      const failed = await run("service", "add", web.name, "quits");
      expect(failed).toMatchObject({ exit: 7, stdout: "" });
      expect(failed.stderr).toMatch(/✖ (create|settle) +\S+-quits/);
      expect(failed.stderr).toContain("    │ ");
      expect(failed.stderr).toMatch(/error: APPLY_FAILED {2}/);
      expect(failed.stderr).toContain(
        ` now:   ${web.name} is running at r${before + 2} (same as r${before}); nothing else changed`,
      );
      const id = /decnet op get (op-[0-9a-f]+) --output-log/.exec(failed.stderr)?.[1] ?? "";
      expect((await run("op", "get", id, "--output-log")).stdout).toContain("no reason to live");
      expect((await run("status")).stdout).toContain(`decnet op get ${id}`);
    });

    it("with 8 when it stays, and tells programs", async () => {
      const kept = await run("service", "add", web.name, "quits", "--on-failure", "keep", "-o", "jsonl");
      expect(kept.exit).toBe(8);
      expect(parseLines(kept.stdout).at(-1)).toMatchObject({ type: "result", state: "FAILED", undone: false, exit: 8 });
      expect((await run("service", "remove", web.name, "quits", "-y")).exit).toBe(0);
    });

    it("with 9 when the time to wait is over, and the operation goes on", async () => {
      const waited = await run("service", "add", web.name, "ftp", "--wait", "1ms");
      expect(waited.exit).toBe(9);
      const id = /watch: decnet op watch (op-[0-9a-f]+)/.exec(waited.stderr)?.[1] ?? "";
      expect((await run("op", "watch", id)).exit).toBe(0);
      const accepted = await run("service", "remove", web.name, "ftp", "-y", "--wait", "accepted");
      expect(accepted).toMatchObject({ exit: 0 });
      expect((await run("op", "watch", /op-[0-9a-f]+/.exec(accepted.stdout)?.[0] ?? "")).exit).toBe(0);
    });
  });
});
