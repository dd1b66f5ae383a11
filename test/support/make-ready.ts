import { makeReady } from "./images.ts";

/**
 * Makes what all suites of a run need, before the first of them, and prints where it is, as variables for them. Whoever runs this
 * removes it.
 */
await makeReady();
for (const name of ["TEST_DATABASE", "TEST_ENGINE_IMAGES"]) process.stdout.write(`${name}=${process.env[name] ?? ""}\n`);
