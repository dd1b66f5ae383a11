const pauseMs = { least: 50, most: 400 };

/** Waits for a condition, never for a time. What takes long is looked at less often: looks are what tests cost most. */
export async function eventually<T>(look: () => Promise<T | undefined | false>, timeoutMs = 20_000): Promise<T> {
  const begun = Date.now();
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    const waited = Date.now() - begun;
    if (waited > timeoutMs) throw new Error(`not so after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs.most, Math.max(pauseMs.least, waited / 10))));
  }
}
