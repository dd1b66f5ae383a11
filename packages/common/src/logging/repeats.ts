/** What a line is, besides the moment. */
export interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface RepeatsOptions {
  readonly write: (line: Line) => void;
  /** Equal lines within so many milliseconds of the first are one. */
  readonly windowMs?: number;
  /** So many different lines are remembered; beyond them a line is written as it comes. */
  readonly most?: number;
}

/**
 * Writes a line at once, and counts its repetitions instead of writing them: a database that is away for an hour is one line a
 * minute, not one for each that asked. When the window ends, the line comes again with how often it was `repeated`.
 */
export function createRepeats({ write, windowMs = 60_000, most = 1_000 }: RepeatsOptions): (line: Line) => void {
  const seen = new Map<string, { line: Line; repeated: number }>();
  const open = (key: string) => {
    setTimeout(() => {
      const entry = seen.get(key);
      seen.delete(key);
      if (entry === undefined || entry.repeated === 0) return;
      write({ ...entry.line, fields: { ...entry.line.fields, repeated: entry.repeated } });
      seen.set(key, { line: entry.line, repeated: 0 });
      open(key);
    }, windowMs).unref();
  };
  return (line) => {
    const key = keyOf(line);
    const entry = seen.get(key);
    if (entry !== undefined) {
      entry.line = line;
      entry.repeated += 1;
      return;
    }
    write(line);
    if (seen.size >= most) return;
    seen.set(key, { line, repeated: 0 });
    open(key);
  };
}

/** What differs each time although the line says the same. */
const momentary = new Set(["correlationId", "againInMs", "err", "tookMs"]);

function keyOf({ level, message, fields }: Line): string {
  const lasting = Object.entries(fields).filter(([name]) => !momentary.has(name));
  const { err } = fields;
  return JSON.stringify([level, message, lasting, err instanceof Error ? `${err.name}: ${err.message}` : String(err)]);
}
