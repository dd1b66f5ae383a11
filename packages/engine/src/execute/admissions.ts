import { AppError } from "@decnet/common/errors/app-error";
import type { Exclusive } from "@decnet/common/runtime/exclusive";
import type { NetworkCalls } from "../docker/network-calls.ts";
import type { EngineNetwork } from "../observe/lan.ts";
import { admissionRule, lansToAdmit, type ObservedAdmissions, parseAdmissions } from "../policy/admission.ts";
import { type UserChain, userChain } from "../policy/user-chain.ts";
import type { DeckySpec } from "../spec.ts";
import { filterFailed } from "./packet-filter.ts";
import { iptables, listUserChain, rulesToChange } from "./user-chain.ts";

/** What deckies route into LANs that are cut off, through `iptables`. Every change may be repeated. */
export interface Admissions {
  /** With what of the host was, or is, looked at for others as well. */
  look(seen: AdmissionSources): AdmissionsLook;
  /** Throws APPLY_FAILED. */
  admit(network: string, signal: AbortSignal): Promise<void>;
  /** Removes what is for networks that are not there any more. Throws APPLY_FAILED. */
  release(signal: AbortSignal): Promise<void>;
}

export interface AdmissionSources {
  chain(): Promise<UserChain>;
  networks(): Promise<ReadonlyMap<string, EngineNetwork>>;
}

/** Looks at several deckies of a host at one moment. */
export interface AdmissionsLook {
  /** Undefined for a decky that has nothing to do with that. */
  of(spec: DeckySpec): Promise<ObservedAdmissions | undefined>;
}

export interface AdmissionsOptions {
  readonly instance: string;
  readonly api: Pick<NetworkCalls, "networks">;
  readonly isOn: boolean;
  /** Whoever looks at the engine's chain, or changes it, takes turns. */
  readonly oneByOne: Exclusive;
}

export function createAdmissions({ instance, api, isOn, oneByOne }: AdmissionsOptions): Admissions {
  const change = async (verb: "-I" | "-D", bridge: string, signal: AbortSignal): Promise<void> => {
    const done = await iptables([verb, userChain, ...admissionRule(instance, bridge)], signal);
    if (done?.exitCode !== 0) throw filterFailed("iptables", done);
  };
  return {
    look(seen) {
      return {
        async of(spec) {
          const lans = isOn ? lansToAdmit(spec) : [];
          if (lans.length === 0) return undefined;
          const [chain, networks] = await Promise.all([seen.chain(), seen.networks()]);
          const there = chain.kind === "listed" ? parseAdmissions(instance, chain.rules) : [];
          const missing = lans.filter((lan) => !there.includes(networks.get(lan)?.bridge ?? ""));
          return { unable: chain.kind === "listed" ? "" : `${chain.why}; what deckies route may be dropped`, missing };
        },
      };
    },
    async admit(network, signal) {
      const bridge = (await api.networks()).get(network)?.bridge;
      if (bridge === undefined || bridge === "")
        throw new AppError("APPLY_FAILED", `the Docker network ${network} is gone again`);
      await oneByOne.run("", signal, async () => {
        if (!parseAdmissions(instance, await rulesToChange(signal)).includes(bridge)) await change("-I", bridge, signal);
      });
    },
    release: (signal) =>
      oneByOne.run("", signal, async () => {
        const chain = await listUserChain(signal);
        // What cannot be listed now goes with a later one; no network has to stay for it.
        const there = chain.kind === "listed" ? parseAdmissions(instance, chain.rules) : [];
        if (there.length === 0) return;
        const present = new Set([...(await api.networks()).values()].map(({ bridge }) => bridge));
        for (const bridge of there) if (!present.has(bridge)) await change("-D", bridge, signal);
      }),
  };
}
