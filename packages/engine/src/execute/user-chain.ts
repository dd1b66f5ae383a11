import { AppError } from "@decnet/common/errors/app-error";
import { readUserChain, type UserChain, userChain } from "../policy/user-chain.ts";
import { runFilter } from "./packet-filter.ts";

/** Waits for others that change the packet filter. */
export const iptables = (args: readonly string[], signal: AbortSignal) => runFilter("iptables", ["-w", "5", ...args], signal);

export async function listUserChain(signal: AbortSignal): Promise<UserChain> {
  const chain = await iptables(["-S", userChain], signal);
  const isListed = chain === undefined || chain.exitCode === 0;
  return readUserChain(chain, isListed ? undefined : await iptables(["-S"], signal));
}

/** What is in the chain, before it is changed; nothing in one that is not there. Throws APPLY_FAILED when that is not known. */
export async function rulesToChange(signal: AbortSignal): Promise<string> {
  const chain = await listUserChain(signal);
  if (chain.kind === "unknown") throw new AppError("APPLY_FAILED", chain.why);
  return chain.kind === "listed" ? chain.rules : "";
}
