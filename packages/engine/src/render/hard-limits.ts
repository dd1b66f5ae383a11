/** The most that the engine of this host can give to a process, by what compose calls it. What is not in it has no bound. */
export type HardLimits = Readonly<Partial<Record<string, number>>>;

const names: Readonly<Record<string, string>> = {
  "cpu time": "cpu",
  "file size": "fsize",
  "data size": "data",
  "stack size": "stack",
  "core file size": "core",
  "resident set": "rss",
  processes: "nproc",
  "open files": "nofile",
  "locked memory": "memlock",
  "file locks": "locks",
  "pending signals": "sigpending",
  "msgqueue size": "msgqueue",
  "nice priority": "nice",
  "realtime priority": "rtprio",
  "realtime timeout": "rttime",
};

/** CAP_SYS_RESOURCE: whoever has it may raise limits above its own. */
const raises = 1n << 24n;

/** Pure. Reads what /proc says of one process in `limits` and `status`. */
export function hardLimitsOf(limits: string, status: string): HardLimits {
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (capabilities !== undefined && (BigInt(`0x${capabilities}`) & raises) !== 0n) return {};
  const lines = [...limits.matchAll(/^Max (.+?) {2,}\S+ +(\S+)/gm)];
  return Object.fromEntries(
    lines.flatMap(([, title = "", hard = ""]) => {
      const name = names[title];
      return name === undefined || hard === "unlimited" ? [] : [[name, Number(hard)] as const];
    }),
  );
}

/** Pure. What all of them can give. */
export function least(all: readonly HardLimits[]): HardLimits {
  const found: Record<string, number> = {};
  for (const limits of all)
    for (const [name, limit] of Object.entries(limits))
      if (limit !== undefined) found[name] = Math.min(limit, found[name] ?? limit);
  return found;
}
