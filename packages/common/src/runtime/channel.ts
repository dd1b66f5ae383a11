/**
 * Values from producers to one reader, in order. Writing never waits: what is written must be bounded by its nature.
 */
export interface Channel<T> extends AsyncIterable<T> {
  push(value: T): void;
  /** How many values wait for the reader. */
  readonly length: number;
  /** The reader ends after what was pushed. */
  end(): void;
  /** The reader gets what was pushed, then this error. */
  fail(error: unknown): void;
}

export function createChannel<T>(): Channel<T> {
  const values: T[] = [];
  let state: { readonly kind: "open" | "ended" } | { readonly kind: "failed"; readonly error: unknown } = { kind: "open" };
  let wake: () => void = () => undefined;
  const close = (next: typeof state) => {
    if (state.kind === "open") state = next;
    wake();
  };
  return {
    push(value) {
      if (state.kind !== "open") return;
      values.push(value);
      wake();
    },
    get length() {
      return values.length;
    },
    end: () => close({ kind: "ended" }),
    fail: (error) => close({ kind: "failed", error }),
    async *[Symbol.asyncIterator]() {
      for (;;) {
        while (values.length > 0) yield values.shift() as T;
        if (state.kind === "ended") return;
        if (state.kind === "failed") throw state.error;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
