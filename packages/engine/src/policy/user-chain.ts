/** The engine's chain for rules of others. */
export const userChain = "DOCKER-USER";

/**
 * What `iptables` said of the engine's chain. Without it there are no rules in it; what could not be listed may have some.
 */
export type UserChain =
  | { readonly kind: "listed"; readonly rules: string }
  | { readonly kind: "absent" | "unknown"; readonly why: string };

const comeBack = "its chains were removed and come back when it is restarted";

/** As far as it matters here. */
export interface ListingResult {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly tail: readonly string[];
}

/**
 * Reads the listing of the chain and, when there was none, that of the whole table: what is said of a chain that is not there
 * differs from version to version, and may mean something else. An engine makes its chains together: where others of them are,
 * only this one was removed. Undefined for a program that is not on this host. Pure.
 */
export function readUserChain(chain: ListingResult | undefined, table: ListingResult | undefined): UserChain {
  if (chain === undefined) return { kind: "absent", why: "iptables is not on this host: install it (apt-get install iptables)" };
  if (chain.exitCode === 0) return { kind: "listed", rules: chain.stdout };
  const said = chain.tail.join(" ") || `exit code ${chain.exitCode ?? "none"}`;
  const chains = new Set([...(table?.stdout ?? "").matchAll(/^-N (\S+)$/gm)].map(([, name = ""]) => name));
  if (table?.exitCode !== 0 || chains.has(userChain))
    return {
      kind: "unknown",
      why: `iptables does not say what is in the chain ${userChain}: ${said}; try iptables -S ${userChain}`,
    };
  const ofEngine = [...chains].some((name) => name === "DOCKER" || name.startsWith("DOCKER-"));
  const why = ofEngine
    ? `the chain ${userChain} of this host's engine is gone: restart the engine, which makes it again`
    : `the engine of this host has no chain in iptables: its firewall is another one, or ${comeBack}`;
  return { kind: "absent", why };
}
