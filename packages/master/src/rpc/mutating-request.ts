import { type DescMessage, type MessageShape, toJsonString } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { Mutation } from "../changes/mutate.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, parseOptions, parseRef } from "./requests.ts";

export type MutatingRequest = {
  readonly decky?: Parameters<typeof parseRef>[0];
  readonly options?: Parameters<typeof parseOptions>[0];
};

/** What every mutation of one decky has in common. */
export function common<Desc extends DescMessage>(
  parts: MasterParts,
  schema: Desc,
  request: MessageShape<Desc> & MutatingRequest,
  context: HandlerContext,
): Pick<Mutation, "scope" | "decky" | "actor" | "options" | "requestHash"> {
  const { scope, name } = parseRef(request.decky);
  const options = parseOptions(request.options);
  return { scope, decky: name, actor: callerOf(context).name, options, requestHash: hashRequest(parts, schema, request) };
}

/** Keyed, because requests hold secrets. */
export function hashRequest<Desc extends DescMessage>(parts: MasterParts, schema: Desc, request: MessageShape<Desc>): string {
  return parts.fingerprint(`${schema.typeName}\n${toJsonString(schema, request)}`);
}
