import { writeSync } from "node:fs";

export interface LineWriter {
  /** The line is written at the end of this turn of the loop, or when there is room for it. Never waits, never throws. */
  write(line: string): void;
  /** For a process that ends: writes what is there, and waits for a reader no longer than it has patience. */
  finish(): void;
}

export interface LineWriterOptions {
  /** Writes as many of the bytes as there is room for, and says how many; throws when there is none. */
  readonly put: (bytes: Uint8Array) => number;
  /** What nobody has read yet is kept up to here; lines beyond it are counted. */
  readonly mostBytes?: number;
  readonly patienceMs?: number;
}

/** A reader that is behind is looked at again so much later. */
const againMs = 10;
const chunkBytes = 64 << 10;

/**
 * Lines on their way out of the process. A reader that is slower than its writer, as when thousands of changes are told of at
 * once, keeps lines waiting and nothing else: a logger that waits for it would stop the whole process meanwhile.
 */
export function createLineWriter({ put, mostBytes = 8 << 20, patienceMs = 1_000 }: LineWriterOptions): LineWriter {
  let lines: string[] = [];
  let chars = 0;
  let rest = Buffer.alloc(0);
  let lost = 0;
  let isWaiting = false;

  /** Whether everything is written, or cannot be. */
  const flush = (): boolean => {
    for (;;) {
      if (rest.length === 0) {
        if (lines.length === 0) return true;
        rest = Buffer.from(lines.join(""));
        lines = [];
        chars = 0;
      }
      try {
        rest = rest.subarray(put(rest.subarray(0, chunkBytes)));
      } catch (error) {
        if (isBusy(error)) return false;
        // A disk that is full or a reader that went away costs lines, and never the process.
        rest = Buffer.alloc(0);
      }
    }
  };
  const turn = () => {
    isWaiting = false;
    if (flush()) tellLost();
    else wait(() => void setTimeout(turn, againMs));
  };
  const wait = (how: () => void) => {
    if (isWaiting) return;
    isWaiting = true;
    how();
  };
  const tellLost = () => {
    if (lost === 0) return;
    const line = JSON.stringify({
      level: 40,
      time: Date.now(),
      msg: "lines of this log were lost: nobody read them",
      lines: lost,
    });
    lost = 0;
    take(`${line}\n`);
  };
  const take = (line: string) => {
    lines.push(line);
    chars += line.length;
    wait(() => void setImmediate(turn));
  };

  return {
    write(line) {
      if (chars + rest.length + line.length > mostBytes) lost += 1;
      else take(line);
    },
    finish() {
      for (const until = performance.now() + patienceMs; !flush() && performance.now() < until; ) pause(againMs);
    },
  };
}

/** To the process's error output. */
export function writeToStderr(bytes: Uint8Array): number {
  return writeSync(2, bytes);
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EAGAIN" || error.code === "EBUSY");
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
