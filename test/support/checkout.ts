import { join } from "node:path";

const isBuilt = /\/build\/(test\/support|programs\/[a-z]+)$/.test(import.meta.dirname);

/** The folder of the repository, for the tests and for what was built or bundled of them, which lies one folder deeper. */
export const checkout = join(import.meta.dirname, isBuilt ? "../../.." : "../..");
