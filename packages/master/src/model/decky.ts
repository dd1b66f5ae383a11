import type { ServiceConfig } from "@decnet/engine/catalogue/types";
import type { JudgedDecky } from "@decnet/engine/observe/judge";

export type DeckyState = "pending" | "changing" | "running" | "degraded" | "detached" | "failed" | "unknown";

/** Fixed at deploy. */
export interface Identity {
  readonly hostname: string;
  readonly distro: string;
  readonly osFamily: string;
  readonly archetype: string;
  readonly baseImage: string;
  readonly buildBase: string;
}

/** One service of a revision. `staged` is saved and not applied: stored and shown, never rendered. */
export interface StoredService {
  readonly slug: string;
  readonly config: ServiceConfig;
  readonly staged?: ServiceConfig | undefined;
}

/** As in the database: values of secrets are replaced by their sealed form. */
export interface SealedService {
  readonly slug: string;
  readonly config: Record<string, unknown>;
  readonly staged?: Record<string, unknown>;
}

/** How a decky was last seen. */
export type ObservedRecord = Pick<JudgedDecky, "baseId" | "services">;
