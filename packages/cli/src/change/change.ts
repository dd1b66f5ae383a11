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
  /** It is done even when it changes no decky. */
  readonly always?: boolean;
  /** The biggest changes need this name typed. */
  readonly typed?: { readonly name: string; readonly accept: string };
  /** The change as the question says it: `Remove ftp from web-07`. */
  readonly question?: string;
  /** Keys whose values were in the arguments. */
  readonly plainKeys?: readonly string[];
}
