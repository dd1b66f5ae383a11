import { pino } from "pino";
import { describeError } from "./describe-error.ts";
import { createLineWriter, type LineWriter, writeToStderr } from "./line-writer.ts";
import { createRepeats } from "./repeats.ts";

export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Structured log. Messages are constant, data goes into fields. Secrets never get here; a few tell-tale keys are masked all the
 * same. Equal lines within a minute are counted, not written.
 */
export interface Logger {
  /** Whether debug() writes: what is costly to say is made only then. */
  readonly isDebug: boolean;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  child(fields: LogFields): Logger;
}

export function createLogger(name: string, level: string): Logger {
  const paths = ["password", "secret", "token", "authorization"].flatMap((key) => [key, `*.${key}`]);
  const err = (error: unknown) => describeError(error, log.isLevelEnabled("debug"));
  const log: Pino = pino({ name, level, redact: { paths, censor: "[hidden]" }, serializers: { err } }, output());
  return wrap(log);
}

let stderr: LineWriter | undefined;

/** One for all loggers of the process: lines keep their order, and are never mixed. */
function output(): LineWriter {
  if (stderr !== undefined) return stderr;
  stderr = createLineWriter({ put: writeToStderr });
  process.on("exit", stderr.finish);
  return stderr;
}

type Pino = ReturnType<typeof pino<string>>;
type Level = "info" | "warn" | "error";

function wrap(log: Pino): Logger {
  const say = createRepeats({ write: ({ level, message, fields }) => log[level as Level](fields, message) });
  const at =
    (level: Level) =>
    (message: string, fields: LogFields = {}) => {
      if (!log.isLevelEnabled(level)) return;
      // What is said of one operation is said once: it need not be remembered.
      if (level === "info" && "operation" in fields) log.info(fields, message);
      else say({ level, message, fields });
    };
  return {
    isDebug: log.isLevelEnabled("debug"),
    debug: (message, fields = {}) => log.debug(fields, message),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => wrap(log.child(fields)),
  };
}
