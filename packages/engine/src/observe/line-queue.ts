/** Lines between a source that can be paused and a reader who may be slow. What it holds is bounded. */
export interface LineQueue<Line> {
  push(line: Line): void;
  /** The oldest; before it, once, what had to be dropped. */
  take(): Line | undefined;
  readonly isEmpty: boolean;
  /** No timer is left. */
  close(): void;
}

export interface LineQueueOptions<Line> {
  readonly sizeOf: (line: Line) => number;
  readonly source: { pause(): unknown; resume(): unknown };
  /** Says that so many lines were dropped, the last of them this one. Undefined: none is ever, and the source waits. */
  readonly dropped: ((count: number, last: Line) => Line) | undefined;
  readonly patienceMs?: number;
}

const mostLines = 1_000;
const mostBytes = 1 << 20;
const patience = 2_000;

/**
 * A full queue pauses its source. A reader who does not take anything for a while loses the oldest lines, and is told how many:
 * what an engine holds back for him would be lost in the end without a word, when it begins the log again.
 */
export function createLineQueue<Line>(options: LineQueueOptions<Line>): LineQueue<Line> {
  const { sizeOf, source, dropped, patienceMs = patience } = options;
  let lines: Line[] = [];
  let from = 0;
  let bytes = 0;
  let lost: { count: number; last: Line } | undefined;
  let isPaused = false;
  let isDropping = false;
  let timer: NodeJS.Timeout | undefined;

  const length = () => lines.length - from;
  const isFull = () => length() >= mostLines || bytes >= mostBytes;
  const shift = (): Line | undefined => {
    const line = lines[from];
    if (line === undefined) return undefined;
    from += 1;
    bytes -= sizeOf(line);
    if (from < mostLines) return line;
    lines = lines.slice(from);
    from = 0;
    return line;
  };
  const resume = () => {
    clearTimeout(timer);
    timer = undefined;
    if (!isPaused) return;
    isPaused = false;
    source.resume();
  };
  const pause = () => {
    if (isPaused) return;
    isPaused = true;
    source.pause();
    if (dropped === undefined) return;
    timer = setTimeout(() => {
      isDropping = true;
      resume();
    }, patienceMs);
  };

  return {
    push(line) {
      lines.push(line);
      bytes += sizeOf(line);
      while (isDropping && isFull()) {
        const last = shift();
        if (last === undefined) break;
        lost = { count: (lost?.count ?? 0) + 1, last };
      }
      if (isFull()) pause();
    },
    take() {
      if (lost !== undefined && dropped !== undefined) {
        const { count, last } = lost;
        lost = undefined;
        return dropped(count, last);
      }
      const line = shift();
      if (length() < mostLines / 2 && bytes < mostBytes / 2) {
        isDropping = false;
        resume();
      }
      return line;
    },
    get isEmpty() {
      return length() === 0 && lost === undefined;
    },
    close: () => clearTimeout(timer),
  };
}
