import { attacks } from "./attacks.ts";

/**
 * One attack in a process of its own, so that what it costs the attacker is not measured. Usage: attacker.ts NAME PORT TLS-PORT.
 * Prints `begun` once it is under way, and ends on SIGTERM, or by itself when nobody ends it for five minutes.
 */
const [name = "", port = "", tlsPort = ""] = process.argv.slice(2);
const attack = attacks.find((each) => each.name === name);
if (attack === undefined) throw new Error(`there is no attack ${name}`);
const stopping = new AbortController();
process.once("SIGTERM", () => process.exit(0));
setTimeout(() => process.exit(1), 300_000).unref();
// Whatever an attacker's connection meets is no news.
process.on("uncaughtException", () => undefined);
await attack.begin({ port: Number(port), tlsPort: Number(tlsPort) }, stopping.signal);
process.stdout.write("begun\n");
setInterval(() => undefined, 60_000);
