import type { StoredService } from "../model/decky.ts";
import { sameService } from "../model/services.ts";

/** Whether one service is the same in two lists, absence included. */
export function isSameIn(left: readonly StoredService[], right: readonly StoredService[], slug: string): boolean {
  const find = (list: readonly StoredService[]) => list.find((service) => service.slug === slug);
  return sameService(find(left), find(right));
}
