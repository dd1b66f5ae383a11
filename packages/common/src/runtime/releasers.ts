/** Releases in reverse order of acquisition. The first error is thrown after everything had its turn. */
export interface Releasers {
  add(release: () => Promise<unknown> | unknown): void;
  release(): Promise<void>;
}

export function createReleasers(): Releasers {
  const stack: (() => Promise<unknown> | unknown)[] = [];
  return {
    add: (release) => void stack.push(release),
    async release() {
      let failed: { error: unknown } | undefined;
      for (let release = stack.pop(); release !== undefined; release = stack.pop()) {
        try {
          await release();
        } catch (error) {
          failed ??= { error };
        }
      }
      if (failed !== undefined) throw failed.error;
    },
  };
}
