import { openPrivatePostgres } from "@decnet/master/store/private-postgres";

/** Starts and stops the private database of the data folder that is named, and says how many milliseconds the start took. */
const since = performance.now();
const server = await openPrivatePostgres(process.argv[2] ?? "");
const startedMs = performance.now() - since;
await server.stop();
process.stdout.write(`${JSON.stringify({ startedMs })}\n`);
