import {
  type Environment,
  type HostConfig,
  hostSettings,
  parseSettings,
  toHostConfig,
  wholeNumber,
} from "@decnet/engine/settings";
import { z } from "zod";

const schema = z.object({
  ...hostSettings,
  DECNET_AGENT_DIR: z.string().startsWith("/").default("/var/lib/decnet/agent"),
  /** For reading with grpcurl on the worker itself; 0 takes a free port. */
  DECNET_AGENT_PORT: wholeNumber(0, 65_535).default(7441),
  /** Reports that wait for the master at most. */
  DECNET_REPORT_QUEUE: wholeNumber(10, 1_000_000).default(10_000),
});

export interface AgentConfig extends HostConfig {
  readonly stateDir: string;
  readonly port: number;
  readonly reportQueue: number;
}

/** Reads the environment once. Errors: SETTINGS_INVALID. */
export function parseAgentConfig(env: Environment, ownCatalog: string): AgentConfig {
  const settings = parseSettings(schema, env);
  return {
    ...toHostConfig(settings, ownCatalog),
    stateDir: settings.DECNET_AGENT_DIR,
    port: settings.DECNET_AGENT_PORT,
    reportQueue: settings.DECNET_REPORT_QUEUE,
  };
}
