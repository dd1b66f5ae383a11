import { dirname } from "node:path";
import { useOwnEngine } from "./own-engine.ts";

/** Starts an engine with a container in it, and never ends by itself: it stands for a test command that is killed. */
const engine = await useOwnEngine();
await engine.load([process.argv[2] ?? ""]);
await engine.docker(["run", "-d", "--network", "none", process.argv[2] ?? "", "sleep", "infinity"]);
process.stdout.write(`${JSON.stringify({ netns: engine.netns, folder: dirname(engine.socketPath) })}\n`);
setInterval(() => undefined, 60_000);
