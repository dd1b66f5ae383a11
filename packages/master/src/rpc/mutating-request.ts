import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { kAudit } from "../access/audit.ts";
import type { MutationRequest } from "../changes/mutate.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, parseOptions, parseRef } from "./requests.ts";

export type MutatingRequest = {
  readonly decky?: Parameters<typeof parseRef>[0];
  readonly options?: Parameters<typeof parseOptions>[0];
};

/** What every mutation of one decky has in common. */
export async function common<Desc extends DescMessage>(
  parts: MasterParts,
  schema: Desc,
  request: MessageShape<Desc> & MutatingRequest,
  context: HandlerContext,
): Promise<Pick<MutationRequest, "scope" | "decky" | "actor" | "options" | "requestHash" | "audit">> {
  const { scope, name } = parseRef(request.decky);
  const options = parseOptions(request.options);
  const requestHash = hashRequest(parts, schema, request);
  if (scope !== "fleet") await parts.topologies.requireLive(scope);
  return { scope, decky: name, actor: callerOf(context).name, options, requestHash, audit: context.values.get(kAudit) };
}

/** A decky of the fleet, or of a topology that is there. Throws TOPOLOGY_NOT_FOUND. */
export async function knownRef(
  ref: MutatingRequest["decky"],
  { store }: Pick<MasterParts, "store">,
): Promise<ReturnType<typeof parseRef>> {
  const parsed = parseRef(ref);
  if (parsed.scope !== "fleet") await store.topologies.briefly(parsed.scope);
  return parsed;
}

/**
 * Keyed, because requests hold secrets. How long its caller waits is not part of what is asked for: who gave up waiting may ask
 * again with less patience.
 */
export function hashRequest<Desc extends DescMessage>(
  parts: Pick<MasterParts, "fingerprint">,
  schema: Desc,
  request: MessageShape<Desc>,
): string {
  const asked = toJson(schema, request) as { readonly options?: object };
  const impatient = asked.options === undefined ? asked : { ...asked, options: { ...asked.options, wait: undefined } };
  return parts.fingerprint(`${schema.typeName}\n${JSON.stringify(impatient)}`);
}
