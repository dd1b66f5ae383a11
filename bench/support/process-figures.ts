import { readdir, readFile } from "node:fs/promises";

const ticksPerSecond = 100;

/** Resident memory of a process, in megabytes. */
export async function memoryMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1_024;
}

/**
 * Processor seconds that a process and the processes it started have taken so far; those that ended and were waited for
 * included.
 */
export async function cpuSeconds(pid: number): Promise<number> {
  let ticks = 0;
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    // The name of the program, in brackets, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const parent = Number(fields[1]);
    // What a process took that ended is in the figures of its parent.
    const taken = Number(name) === pid ? fields.slice(11, 15) : parent === pid ? fields.slice(11, 13) : [];
    ticks += taken.map(Number).reduce((sum, value) => sum + value, 0);
  }
  return ticks / ticksPerSecond;
}

/** Where the memory of a master is, from its own metrics: `412 MB (heap 190 of 240, buffers 31, outside of Node.js 141)`. */
export async function describeMemory(port: number): Promise<string> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const read = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]) / (1 << 20);
  const all = read("process_resident_memory_bytes");
  const [used, heap, external] = ["heap_size_used", "heap_size_total", "external_memory"].map((name) =>
    read(`nodejs_${name}_bytes`),
  );
  const parts = [used, heap, external, all - (heap ?? 0) - (external ?? 0)].map((megabytes) => (megabytes ?? 0).toFixed(0));
  return `${all.toFixed(0)} MB (heap ${parts[0]} of ${parts[1]}, buffers ${parts[2]}, outside of Node.js ${parts[3]})`;
}
