import type { Command } from "commander";
import type { Cli } from "./cli.ts";

export type Register = (program: Command, cli: Cli) => void;

/** Commands that are loaded together, when one of them is wanted. */
export interface Group {
  readonly names: readonly string[];
  readonly load: () => Promise<Register>;
}

/** In the order of `decnet --help`. A new group is a file in commands/ and a line here. */
export const groups: readonly Group[] = [
  { names: ["up", "down"], load: async () => (await import("./commands/machine.ts")).registerMachine },
  { names: ["status"], load: async () => (await import("./commands/status.ts")).registerStatus },
  { names: ["decky"], load: async () => (await import("./commands/decky.ts")).registerDecky },
  { names: ["service"], load: async () => (await import("./commands/service.ts")).registerService },
  { names: ["batch"], load: async () => (await import("./commands/batch.ts")).registerBatch },
  { names: ["fleet"], load: async () => (await import("./commands/fleet.ts")).registerFleet },
  { names: ["topology"], load: async () => (await import("./commands/topology.ts")).registerTopology },
  { names: ["host"], load: async () => (await import("./commands/host.ts")).registerHost },
  { names: ["op"], load: async () => (await import("./commands/op.ts")).registerOp },
  { names: ["wait"], load: async () => (await import("./commands/wait.ts")).registerWait },
  { names: ["events"], load: async () => (await import("./commands/events.ts")).registerEvents },
  { names: ["webhook"], load: async () => (await import("./commands/webhook.ts")).registerWebhook },
  { names: ["token"], load: async () => (await import("./commands/token.ts")).registerToken },
  { names: ["backup", "restore"], load: async () => (await import("./commands/backup.ts")).registerBackup },
  { names: ["audit"], load: async () => (await import("./commands/audit.ts")).registerAudit },
  { names: ["catalog"], load: async () => (await import("./commands/catalog.ts")).registerCatalog },
  { names: ["context"], load: async () => (await import("./commands/context.ts")).registerContext },
  { names: ["whoami"], load: async () => (await import("./commands/whoami.ts")).registerWhoami },
  { names: ["doctor"], load: async () => (await import("./commands/doctor.ts")).registerDoctor },
  { names: ["completion"], load: async () => (await import("./commands/completion.ts")).registerCompletion },
  { names: ["version"], load: async () => (await import("./commands/version.ts")).registerVersion },
];
