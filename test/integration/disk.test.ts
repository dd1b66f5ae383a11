import { stat } from "node:fs/promises";
import { DeckyState, ServiceState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deploy, dockerLines, eventually, type TestMaster, useMaster } from "../support/use-master.ts";

/** A bounded attack: 48 MB against a budget of 16. */
const fill = (path: string) => `dd if=/dev/urandom of=${path} bs=1M count=48 2>/dev/null`;
/** The same without a name, by somebody who keeps it open until it was measured. */
const fillHidden = `exec 3>/var/tmp/x; rm /var/tmp/x; dd if=/dev/urandom bs=1M count=48 >&3 2>/dev/null; sleep 100`;

/** Reserved, and never written. */
const reserve = "fallocate -l 48M /var/tmp/x";
/** As much trouble as bytes are. */
const fillWithFiles = "mkdir /var/tmp/x && cd /var/tmp/x && seq 20000 | xargs touch";

/** While its disk does not fill, a host is measured once in a minute; here, others may free as much as is taken. */
const measuredMs = 90_000;

const own = (name: string, slug: string) => `${name}-${slug}`;

describe.each(["recreate", "stop"] as const)("root in a decoy that fills its host's disk (%s)", (policy) => {
  let master: TestMaster;
  let decky: { name: string };

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_DISK_MB: "16", DECNET_DISK_POLICY: policy, DECNET_DRIFT_INTERVAL_MS: "500" } });
    decky = { name: `${master.prefix}-a` };
    await deploy(master, { a: ["ssh", "redis"] });
  });
  afterAll(() => master.dispose());

  const seen = async () => {
    const { decky: found } = await master.fleet.getDecky({ decky });
    return { state: found?.state, ssh: found?.services.find(({ slug }) => slug === "ssh") };
  };
  const isRunning = async () => (await seen()).state === DeckyState.RUNNING;
  const life = async (slug: string) =>
    (await dockerLines(["inspect", "--format", "{{.Id}} {{.State.StartedAt}} {{.State.Running}}", own(decky.name, slug)]))[0];
  const attack = (command: string, ...flags: string[]) =>
    execa("docker", ["exec", ...flags, own(decky.name, "ssh"), "sh", "-c", command], { reject: false });
  const repairs = async () => (await master.operations.listOperations({ filter: `kind=repair,decky=${decky.name}` })).operations;
  if (policy === "recreate") {
    it.each<[string, () => Promise<unknown>, string]>([
      ["by a file", () => attack(fill("/var/tmp/x")), "takes more than the 16 MB of disk that it may"],
      ["by a file that has no name any more", () => attack(fillHidden, "-d"), "takes more than the 16 MB of disk that it may"],
      ["by space that it only reserves", () => attack(reserve), "takes more than the 16 MB of disk that it may"],
      ["by files that have nothing in them", () => attack(fillWithFiles), "is more than 20000 files"],
    ])("%s gets a new container, and the disk is free again; nobody else notices", async (_, act, why) => {
      await eventually(isRunning, 60_000);
      const [ssh, redis] = [await life("ssh"), await life("redis")];
      const known = new Set((await repairs()).map(({ id }) => id));
      await act();
      const repair = await eventually(async () => (await repairs()).find(({ id }) => !known.has(id)), measuredMs);
      expect(repair.plan?.text).toContain(`recreate ${own(decky.name, "ssh")} (what it wrote ${why})`);
      await eventually(isRunning, 60_000);
      expect((await life("ssh"))?.split(" ")[0]).not.toBe(ssh?.split(" ")[0]);
      expect(await life("redis")).toBe(redis);
    });

    it.each([
      ["its own names", "for f in /etc/hosts /etc/hostname /etc/resolv.conf; do echo x >> $f && exit 1; done; exit 0"],
      ["its folder in memory", `${fill("/run/x")} && exit 1; test $(du -m /run/x | cut -f1) -le 32`],
    ])("gets no further with %s", async (_, command) => {
      await eventually(isRunning, 60_000);
      expect((await attack(command)).exitCode).toBe(0);
    });

    it("gets no further with its log, which the engine cuts", async () => {
      await attack("yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | head -c 30000000 > /proc/1/fd/1");
      const [path = ""] = await dockerLines(["inspect", "--format", "{{.LogPath}}", own(decky.name, "ssh")]);
      const sizes = await Promise.all(
        ["", ".1", ".2", ".3", ".4", ".5"].map((end) =>
          stat(`${path}${end}`).then(
            ({ size }) => size,
            () => 0,
          ),
        ),
      );
      expect(Math.max(...sizes)).toBeLessThan(11 << 20);
      expect(sizes[1]).toBeGreaterThan(0);
      expect(sizes[5]).toBe(0);
    });
  }

  if (policy === "stop") {
    const stopped = () =>
      eventually(async () => {
        const { ssh } = await seen();
        return ssh?.state === ServiceState.EXHAUSTED && ssh.message.includes("it is stopped") && ssh.message;
      }, measuredMs);
    const volume = () => `decnet_${decky.name}_ssh_keys`;

    it("in a volume is stopped with all that is in it, until somebody does what the message says", async () => {
      const cure = `docker rm -f ${own(decky.name, "ssh")} && docker volume rm ${volume()}`;
      const why = `its volume ${volume()} takes more than the 16 MB of disk that it may`;
      await eventually(isRunning, 60_000);
      const redis = await life("redis");
      await attack(fill("/var/lib/sshkeys/x"));
      expect(await stopped()).toBe(`${why}; it is stopped, until it is made again: ${cure}`);
      expect(await life("ssh")).toMatch(/ false$/);
      expect(await life("redis")).toBe(redis);
      await execa("sh", ["-c", cure]);
      await eventually(isRunning, 60_000);
    });
  }
});
