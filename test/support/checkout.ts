import { join } from "node:path";

const isBuilt = import.meta.dirname.endsWith(join("build", "test", "support"));

/** The folder of the repository, for the tests and for what was built of them, which lies one folder deeper. */
export const checkout = join(import.meta.dirname, isBuilt ? "../../.." : "../..");
