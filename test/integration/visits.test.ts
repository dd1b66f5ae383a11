import { openEngine } from "@decnet/engine/engine";
import type { DeckySpec } from "@decnet/engine/spec";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engineOptions, specIn } from "../support/conformance.ts";
import { conversation } from "../support/one-service.ts";
import { inside, type Place, usePlace } from "../support/use-master.ts";

const password = "root-word";

describe("a visitor who logs in", () => {
  let place: Place;
  let spec: DeckySpec;

  beforeAll(async () => {
    place = await usePlace();
    const config = { password, user_password: password };
    spec = specIn(place, [
      { slug: "ssh", config },
      { slug: "telnet", config },
    ]);
    const engine = await openEngine(await engineOptions(place));
    const nothing = () => undefined;
    const how = { expectedDigest: "", onPlan: nothing, onStep: nothing, signal: AbortSignal.timeout(60_000) };
    expect((await engine.apply({ kind: "present", spec }, how)).failure).toBeUndefined();
  });
  afterAll(() => place.dispose());

  const overSsh = async (command: string) => {
    const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "PubkeyAuthentication=no"];
    const flags = [...options.flatMap((each) => ["-o", each]), "-tt", "-l", "root", "127.0.0.1"];
    const { stdout } = await inside(spec.name, "sshpass", ["-p", password, "ssh", ...flags, command]);
    return stdout.replaceAll("\r", "");
  };
  const overTelnet = async (command: string) => {
    const turns = [
      ["login: ", "root\r"],
      ["Password: ", `${password}\r`],
      ["# ", `${command}; echo said-$((1 + 1))\r`],
      ["said-2", ""],
    ];
    const { stdout } = await inside(spec.name, process.execPath, ["-e", conversation, "23", JSON.stringify(turns)]);
    return stdout.replaceAll("\r", "");
  };

  it.each([
    ["ssh", overSsh],
    ["telnet", overTelnet],
  ])("over %s finds a machine of its LAN, not what an engine makes of a container", async (_, visit) => {
    const seen = await visit(
      "cat /etc/resolv.conf /etc/hosts /proc/self/cgroup; ulimit -n; ulimit -c; env; who; lastlog -u root",
    );
    expect(seen).toContain(`nameserver ${spec.attachments[0].lan.gateway}\n127.0.0.1\tlocalhost\n127.0.1.1\tconformance\n`);
    expect(seen).toMatch(/^1024\n0\n/m);
    // Its own login is on record.
    expect(seen).toMatch(/^root +pts\/\d+ .*\n(.*\n)*root +pts\/\d+ +(127\.0\.0\.1|localhost)/m);
    expect(seen).not.toMatch(/docker|decnet|NODE_NAME|[0-9a-f]{64}|Never logged in/i);
  });

  it.each(["ssh", "telnet"])("leaves no complaint about missing records in the log of %s", async (slug) => {
    const { all } = await execa("docker", ["logs", `${spec.name}-${slug}`], { all: true });
    expect(all).not.toMatch(/lastlog|wtmp|btmp|No such file/i);
  });
});
