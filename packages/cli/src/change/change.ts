import type { Operation } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Connection } from "../connection.ts";
import type { ChangeFlags, OptionsInit } from "./options.ts";

/** One change that a command asks for. */
export interface Change {
  readonly flags: ChangeFlags;
  readonly connection: Connection;
  readonly submit: (options: OptionsInit) => Promise<{ operation?: Operation | undefined }>;
  /** Whether a plain yes is asked for; adds disturb nothing and ask nothing. */
  readonly asks: boolean;
  /** It is done also when no decky changes by it. */
  readonly always?: boolean;
  /** The biggest acts want this name typed. */
  readonly typed?: { readonly name: string; readonly accept: string };
  /** The act as the question says it: `Remove ftp from web-07`. */
  readonly question?: string;
  /** Keys whose values stood in the arguments. */
  readonly plainKeys?: readonly string[];
}
