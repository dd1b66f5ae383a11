import { splitAddress } from "./address.ts";

/** Addresses that a worker keeps at most. */
const mostMasters = 16;

/**
 * The masters of a worker after one of them told which there are: the one that answered, those that it named, then what was known
 * before, which may be the only way in a network of its own. What is no address is left out.
 */
export function mergeMasters(known: readonly string[], told: readonly string[], answering: string): string[] {
  return [...new Set([answering, ...told.filter(isAddress), ...known])].slice(0, mostMasters);
}

/** The one that is tried after this one, whatever became of the list meanwhile. */
export function masterAfter(masters: readonly string[], address: string): string {
  return masters[(masters.indexOf(address) + 1) % masters.length] ?? address;
}

function isAddress(text: string): boolean {
  try {
    splitAddress(text);
    return text.length <= 260;
  } catch {
    return false;
  }
}
