import { AppError } from "@decnet/common/errors/app-error";
import { createExclusive } from "@decnet/common/runtime/exclusive";
import { type CommandResult, runCommand } from "../docker/run-command.ts";
import { type ObservedLinks, parseLinks } from "../observe/host-access.ts";
import type { HelperSpec } from "../plan/plan.ts";
import type { LanSpec } from "../spec.ts";

/** The host's own interfaces and routes, through the `ip` command. Every change may be repeated. */
export interface HostLinks {
  observe(signal: AbortSignal): Promise<ObservedLinks>;
  /** Throws APPLY_FAILED, with a sentence for people, when this host cannot carry such a LAN. */
  requireDriver(lan: LanSpec, signal: AbortSignal): Promise<void>;
  ensureHelper(helper: HelperSpec, signal: AbortSignal): Promise<void>;
  addRoute(helper: string, to: string, from: string, signal: AbortSignal): Promise<void>;
  removeRoute(helper: string, to: string, signal: AbortSignal): Promise<void>;
  /** Removes the helpers with exactly this owner. */
  removeHelpers(owner: string, signal: AbortSignal): Promise<void>;
}

export function createHostLinks(): HostLinks {
  const oneByOne = createExclusive(1);
  const run = (args: readonly string[], signal: AbortSignal) => runCommand("ip", args, { timeoutMs: 10_000, signal });
  const must = async (args: readonly string[], signal: AbortSignal): Promise<CommandResult> => {
    const result = await run(args, signal);
    signal.throwIfAborted();
    if (result.exitCode !== 0) throw failed(args, result);
    return result;
  };
  const observe = async (signal: AbortSignal) => {
    const [addresses, routes] = await Promise.all([
      must(["-json", "-details", "address", "show"], signal),
      must(["-json", "-4", "route", "show"], signal),
    ]);
    return parseLinks(addresses.stdout, routes.stdout);
  };
  const addLink = (name: string, parent: string, kind: string) => {
    const mode = kind === "ipvlan" ? "l2" : "bridge";
    return ["link", "add", "name", name, "link", parent, "type", kind, "mode", mode];
  };
  return {
    // Never in the middle of a change: a helper that does not have its owner yet would pass for somebody else's.
    observe: (signal) => oneByOne.run("", signal, () => observe(signal)),
    async requireDriver({ driver, parent = "" }, signal) {
      const { names } = await observe(signal);
      // The engine makes `eth0.10` itself when there is an `eth0`.
      const carrier = parent.split(".")[0] ?? "";
      if (!names.has(parent) && !names.has(carrier))
        throw cannot(`this host has no interface ${parent} for ${driver}; there are ${[...names].join(", ")}`);
      const name = `decnet_p${process.pid % 100_000}`;
      await oneByOne.run("", signal, async () => {
        const made = await run(addLink(name, names.has(parent) ? parent : carrier, driver), signal);
        if (made.exitCode === 0) await must(["link", "del", "dev", name], signal);
        else if (/Unknown device type|not supported/i.test(made.tail.join("\n")))
          throw cannot(`the kernel of this host has no ${driver}; choose another driver for the LAN`, made.tail);
        else throw failed(addLink(name, parent, driver), made);
      });
    },
    ensureHelper: (helper, signal) =>
      oneByOne.run("", signal, async () => {
        const { names, helpers } = await observe(signal);
        const own = helpers.find((each) => each.name === helper.name && each.owner === helper.owner);
        if (own === undefined && names.has(helper.name))
          throw cannot(`the interface name ${helper.name} is taken by one that is not ours; remove or rename it`);
        const isOther = own !== undefined && (own.kind !== helper.kind || own.parent !== helper.parent);
        if (isOther) await must(["link", "del", "dev", helper.name], signal);
        if (isOther || own === undefined) await must(addLink(helper.name, helper.parent, helper.kind), signal);
        await must(["link", "set", "dev", helper.name, "alias", helper.owner], signal);
        await must(["address", "replace", `${helper.address}/32`, "dev", helper.name], signal);
        await must(["link", "set", "dev", helper.name, "up"], signal);
      }),
    async addRoute(helper, to, from, signal) {
      if (to === from) throw cannot(`${to} is this host's own address on the LAN; give the decky another one`);
      await must(["route", "replace", `${to}/32`, "dev", helper, "src", from], signal);
    },
    async removeRoute(helper, to, signal) {
      const result = await run(["route", "del", `${to}/32`, "dev", helper], signal);
      if (result.exitCode !== 0 && !isAbsent(result)) throw failed(["route", "del"], result);
    },
    removeHelpers: (owner, signal) =>
      oneByOne.run("", signal, async () => {
        for (const helper of (await observe(signal)).helpers) {
          if (helper.owner !== owner) continue;
          const result = await run(["link", "del", "dev", helper.name], signal);
          if (result.exitCode !== 0 && !isAbsent(result)) throw failed(["link", "del"], result);
        }
      }),
  };
}

function isAbsent(result: CommandResult): boolean {
  return /No such process|Cannot find device|No such device/.test(result.tail.join("\n"));
}

function failed(args: readonly string[], result: CommandResult): AppError {
  return cannot(`ip ${args.join(" ")} ended with exit code ${result.exitCode ?? "none"}`, result.tail);
}

function cannot(message: string, outputTail: readonly string[] = []): AppError {
  return new AppError("APPLY_FAILED", message, { outputTail });
}
