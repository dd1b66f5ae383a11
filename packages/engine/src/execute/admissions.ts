import { AppError } from "@decnet/common/errors/app-error";
import { createExclusive } from "@decnet/common/runtime/exclusive";
import { createRounds } from "@decnet/common/runtime/rounds";
import type { NetworkCalls } from "../docker/network-calls.ts";
import type { EngineNetwork } from "../observe/lan.ts";
import { admissionRule, lansToAdmit, type ObservedAdmissions, parseAdmissions } from "../policy/admission.ts";
import type { DeckySpec } from "../spec.ts";
import { filterCommandMs, filterFailed, runFilter } from "./packet-filter.ts";

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

/** The engine's chain for rules of others. */
const userChain = "DOCKER-USER";
const unable = `the engine of this host has no chain ${userChain}: its firewall is not iptables, and may drop what deckies route`;

export interface AdmissionsOptions {
  readonly instance: string;
  readonly api: Pick<NetworkCalls, "networks">;
  readonly isOn: boolean;
}

export function createAdmissions({ instance, api, isOn }: AdmissionsOptions): Admissions {
  const oneByOne = createExclusive(1);
  /** Undefined: the engine has no such chain. */
  const list = async (signal: AbortSignal): Promise<string[] | undefined> => {
    const listed = await iptables(["-S", userChain], signal);
    return listed?.exitCode === 0 ? parseAdmissions(instance, listed.stdout) : undefined;
  };
  /** Deckies that are applied side by side are served by one look. */
  const listTogether = createRounds<undefined, string[] | undefined>({
    most: Number.POSITIVE_INFINITY,
    mayRepeat: () => false,
    async serve(calls) {
      const signal = AbortSignal.timeout(2 * filterCommandMs);
      const there = await oneByOne.run("", signal, () => list(signal));
      return calls.map(() => there);
    },
  });
  const change = async (verb: "-I" | "-D", bridge: string, signal: AbortSignal): Promise<void> => {
    const done = await iptables([verb, userChain, ...admissionRule(instance, bridge)], signal);
    if (done?.exitCode !== 0) throw filterFailed("iptables", done);
  };
  return {
    look() {
      let seen: Promise<readonly [readonly string[] | undefined, ReadonlyMap<string, EngineNetwork>]> | undefined;
      return {
        async of(spec) {
          const lans = isOn ? lansToAdmit(spec) : [];
          if (lans.length === 0) return undefined;
          seen ??= Promise.all([listTogether(undefined), api.networks()]);
          const [there, networks] = await seen;
          const missing = lans.filter((lan) => there?.includes(networks.get(lan)?.bridge ?? "") !== true);
          return { unable: there === undefined ? unable : "", missing };
        },
      };
    },
    async admit(network, signal) {
      const bridge = (await api.networks()).get(network)?.bridge;
      if (bridge === undefined || bridge === "")
        throw new AppError("APPLY_FAILED", `the Docker network ${network} is gone again`);
      await oneByOne.run("", signal, async () => {
        if ((await list(signal))?.includes(bridge) !== true) await change("-I", bridge, signal);
      });
    },
    release: (signal) =>
      oneByOne.run("", signal, async () => {
        const there = (await list(signal)) ?? [];
        if (there.length === 0) return;
        const present = new Set([...(await api.networks()).values()].map(({ bridge }) => bridge));
        for (const bridge of there) if (!present.has(bridge)) await change("-D", bridge, signal);
      }),
  };
}

const iptables = (args: readonly string[], signal: AbortSignal) => runFilter("iptables", ["-w", "5", ...args], signal);
