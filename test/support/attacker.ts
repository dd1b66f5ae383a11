import { setMaxListeners } from "node:events";
import { attacks } from "./attacks.ts";

/**
 * Attacks in a process of their own, so that what they cost the attacker is not measured.
 * Usage: attacker.ts PORT TLS-PORT NAME...
 * Prints `begun` once they are under way, and ends on SIGTERM, or by itself when nobody ends it for five minutes.
 */
const [port = "", tlsPort = "", ...names] = process.argv.slice(2);
const chosen = attacks.filter(({ name }) => names.includes(name));
if (chosen.length !== names.length) throw new Error(`there are no such attacks: ${names.join(", ")}`);
const stopping = new AbortController();
setMaxListeners(0, stopping.signal);
process.once("SIGTERM", () => process.exit(0));
setTimeout(() => process.exit(1), 300_000).unref();
// Whatever an attacker's connection meets is no news.
process.on("uncaughtException", () => undefined);
const target = { port: Number(port), tlsPort: Number(tlsPort) };
await Promise.all(chosen.map((attack) => attack.begin(target, stopping.signal)));
process.stdout.write("begun\n");
setInterval(() => undefined, 60_000);
