import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { eventually } from "./use-master.ts";

/**
 * The engine's own log about containers whose name starts with the prefix, from now on: `start <name>`. Streamed, since the
 * engine answers at most 256 past events. `socket` names another engine than the machine's own.
 */
export async function useEngineEvents(prefix: string, socket?: string) {
  const lines: string[] = [];
  const since = (Date.now() / 1_000).toFixed(3);
  const format = "{{.Action}} {{.Actor.Attributes.name}}";
  const engine = socket === undefined ? [] : ["-H", `unix://${socket}`];
  const child = spawn("docker", [...engine, "events", "--since", since, "--filter", "type=container", "--format", format], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line.split(" ")[1]?.startsWith(prefix)) lines.push(line);
  });
  /** What was logged since the last call, up to this line; later ones belong to the next call. */
  const until = async (last: string) => {
    await eventually(async () => lines.includes(last));
    return lines.splice(0, lines.indexOf(last) + 1);
  };
  /** What was logged since the last call up to now: an event of our own says when everything before it has come. */
  const sofar = async () => {
    const name = `${prefix}-fence`;
    await execa("docker", [...engine, "create", "--name", name, debianBase, "true"]);
    await execa("docker", [...engine, "rm", name]);
    const logged = await until(`destroy ${name}`);
    return logged.filter((line) => !line.endsWith(` ${name}`));
  };
  await sofar();
  return {
    until,
    sofar,
    async dispose() {
      child.kill();
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}
