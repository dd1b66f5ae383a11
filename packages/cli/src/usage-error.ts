/** Bad input on the command line; exit code 2. */
export class UsageError extends Error {}

/** The user ended it; exit code 130. */
export class Interrupted extends Error {}
