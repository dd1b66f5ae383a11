import { pino } from "pino";

export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Structured log. Messages are constant, data goes into fields. Secrets never get here; a few tell-tale keys are masked all the
 * same.
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
  return wrap(pino({ name, level, redact: { paths, censor: "[hidden]" } }, pino.destination({ fd: 2, sync: true })));
}

type Pino = ReturnType<typeof pino>;

function wrap(log: Pino): Logger {
  return {
    isDebug: log.isLevelEnabled("debug"),
    debug: (message, fields = {}) => log.debug(fields, message),
    info: (message, fields = {}) => log.info(fields, message),
    warn: (message, fields = {}) => log.warn(fields, message),
    error: (message, fields = {}) => log.error(fields, message),
    child: (fields) => wrap(log.child(fields)),
  };
}
