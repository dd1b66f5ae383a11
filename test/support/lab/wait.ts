import { setTimeout } from "node:timers/promises";

/** Looks again until it is so, or the time is over; says which. */
export async function waitUntil(look: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (!(await look())) {
    if (Date.now() > deadline) return false;
    await setTimeout(50);
  }
  return true;
}
