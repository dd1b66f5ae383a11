import { type Reason, renderNextSteps } from "@decnet/contract/reasons";

/** One refused field: the path as in the request's JSON (`config.password`), and a sentence. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

export interface AppErrorOptions {
  /** String facts for programs; also fill the braces in the reason's next steps. Never holds a secret. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly FieldViolation[];
  /** The thing that is missing or already there. */
  readonly resource?: { readonly type: string; readonly name: string };
  readonly retryAfterMs?: number;
  readonly outputTail?: readonly string[];
  readonly cause?: unknown;
}

/** An expected failure. Everything else that is thrown is a defect and reaches callers as INTERNAL with a correlation id. */
export class AppError extends Error {
  readonly reason: Reason;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly resource: { readonly type: string; readonly name: string } | undefined;
  readonly retryAfterMs: number | undefined;
  readonly outputTail: readonly string[];

  constructor(reason: Reason, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AppError";
    this.reason = reason;
    this.metadata = options.metadata ?? {};
    this.violations = options.violations ?? [];
    this.resource = options.resource;
    this.retryAfterMs = options.retryAfterMs;
    this.outputTail = options.outputTail ?? [];
  }

  /** What the reader should do next. */
  get next(): string[] {
    return renderNextSteps(this.reason, this.metadata);
  }
}
