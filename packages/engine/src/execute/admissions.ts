import { AppError } from "@decnet/common/errors/app-error";
import { createExclusive } from "@decnet/common/runtime/exclusive";
import { createRounds } from "@decnet/common/runtime/rounds";
import type { NetworkCalls } from "../docker/network-calls.ts";
import type { EngineNetwork } from "../observe/lan.ts";
import { admissionRule, lansToAdmit, type ObservedAdmissions, parseAdmissions } from "../policy/admission.ts";
import { type UserChain, userChain } from "../policy/user-chain.ts";
import type { DeckySpec } from "../spec.ts";
import { filterCommandMs, filterFailed } from "./packet-filter.ts";
import { iptables, listUserChain, rulesToChange } from "./user-chain.ts";

/** What deckies route into LANs that are cut off, through `iptables`. Every change may be repeated. */
export interface Admissions {
  look(): AdmissionsLook;
  /** Throws APPLY_FAILED. */
  admit(network: string, signal: AbortSignal): Promise<void>;
  /** Removes what is for networks that are not there any more. Throws APPLY_FAILED. */
  release(signal: AbortSignal): Promise<void>;
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
}

export function createAdmissions({ instance, api, isOn }: AdmissionsOptions): Admissions {
  const oneByOne = createExclusive(1);
  /** Deckies that are applied side by side are served by one look. */
  const listTogether = createRounds<undefined, UserChain>({
    most: Number.POSITIVE_INFINITY,
    mayRepeat: () => false,
    async serve(calls) {
      const signal = AbortSignal.timeout(2 * filterCommandMs);
      const chain = await oneByOne.run("", signal, () => listUserChain(signal));
      return calls.map(() => chain);
    },
  });
  const change = async (verb: "-I" | "-D", bridge: string, signal: AbortSignal): Promise<void> => {
    const done = await iptables([verb, userChain, ...admissionRule(instance, bridge)], signal);
    if (done?.exitCode !== 0) throw filterFailed("iptables", done);
  };
  return {
    look() {
      let seen: Promise<readonly [UserChain, ReadonlyMap<string, EngineNetwork>]> | undefined;
      return {
        async of(spec) {
          const lans = isOn ? lansToAdmit(spec) : [];
          if (lans.length === 0) return undefined;
          seen ??= Promise.all([listTogether(undefined), api.networks()]);
          const [chain, networks] = await seen;
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
