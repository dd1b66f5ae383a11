import type { AddressHolder } from "@decnet/engine/observe/lan";

/** The fleet's LAN as one host sees it. */
export interface LanOnHost {
  /** Why the host cannot have it, naming who is in the way; empty when it can. */
  readonly trouble: string;
  /** Addresses that are not the fleet's to give. */
  readonly taken: readonly AddressHolder[];
}

/** By host; of one that is not in it nothing is known. */
export type LanOnHosts = ReadonlyMap<string, LanOnHost>;
