/** Level-triggered work by key: one key never has two pieces of work at a time, and a wake-up during one leads to another. */
export interface Drivers {
  wake(key: string): void;
  /** Work that is woken before then asks again for whatever it still waits for. */
  wakeLater(key: string, delayMs: number): void;
  isBusy(key: string): boolean;
  /** Resolves when nothing runs any more. */
  idle(): Promise<void>;
}

/** `work` never throws; it returns whether there may be more to do at once. */
export function createDrivers(work: (key: string) => Promise<boolean>, stopping: AbortSignal): Drivers {
  const dirty = new Set<string>();
  const running = new Map<string, Promise<void>>();
  const timers = new Map<string, { readonly at: number; readonly timer: NodeJS.Timeout }>();

  const drive = async (key: string): Promise<void> => {
    while (dirty.delete(key) && !stopping.aborted) if (await work(key)) dirty.add(key);
  };

  const wake = (key: string): void => {
    dirty.add(key);
    if (running.has(key) || stopping.aborted) return;
    const driver = drive(key).finally(() => {
      running.delete(key);
      if (dirty.has(key)) wake(key);
    });
    running.set(key, driver);
  };

  const wakeLater = (key: string, delayMs: number): void => {
    const at = Date.now() + delayMs;
    const present = timers.get(key);
    if (present !== undefined && present.at <= at) return;
    clearTimeout(present?.timer);
    const timer = setTimeout(() => {
      timers.delete(key);
      wake(key);
    }, delayMs).unref();
    timers.set(key, { at, timer });
  };

  return {
    wake,
    wakeLater,
    isBusy: (key) => running.has(key),
    idle: async () => void (await Promise.all(running.values())),
  };
}
