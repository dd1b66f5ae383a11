import { type DescField, type DescMessage, isMessage, type Message } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { OperationFailed } from "@decnet/common/rpc/errors";
import { createPace, turn } from "@decnet/common/runtime/slices";
import { DeckyRefSchema, DeckySchema } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { OperationErrorSchema, OperationSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { agentCalls, masterCalls } from "../access/roles.ts";
import type { TopologyStore } from "../store/topologies.ts";

/**
 * Callers name topologies as they like; inside, each has one id. Names become ids where requests come in, and ids get their names
 * where responses and refusals go out: a decky is `corp/web-01` in every advice. A topology keeps its name as long as it lives.
 */

const idPattern = /^t[0-9a-f]{12}$/;
const idBeforeDecky = /\bt[0-9a-f]{12}(?=\/)/g;
const deckyPattern = /^[a-z0-9][a-z0-9-]*$/;
const mostKnown = 10_000;
const paceEvery = 128;
const targets: ReadonlySet<string> = new Set(
  [DeckyRefSchema, DeckySchema, OperationSchema, OperationErrorSchema].map(({ typeName }) => typeName),
);

export function createTopologyNaming({ known }: Pick<TopologyStore, "known">): Interceptor {
  const names = new Map<string, string>();

  const learn = async (idsOrNames: readonly string[]): Promise<ReadonlyMap<string, string>> => {
    if (names.size > mostKnown) names.clear();
    const found = await known(idsOrNames);
    for (const { id, name } of found) names.set(id, name);
    return new Map(found.map(({ id, name }) => [name, id]));
  };

  /** A name that nobody has stays what it is: the call says so. */
  const resolve = async (desc: DescMessage, request: Message): Promise<void> => {
    for (const found of messagesIn(desc, request)) {
      if (!isMessage(found, DeckyRefSchema)) continue;
      found.topology = "";
      if (found.topologyId === "") continue;
      const isName = !idPattern.test(found.topologyId);
      const ids = isName || !names.has(found.topologyId) ? await learn([found.topologyId]) : undefined;
      if (isName) found.topologyId = ids?.get(found.topologyId) ?? found.topologyId;
      found.topology = names.get(found.topologyId) ?? "";
    }
    // One that the call deletes has no name afterwards.
    await topologyOf(request);
  };

  const name = async <M extends Message>(desc: DescMessage, message: M): Promise<M> => {
    const found: Message[] = [];
    const missing = new Set<string>();
    // A plan for ten thousand deckies names as many.
    const pace = createPace();
    for (const each of messagesIn(desc, message)) {
      found.push(each);
      for (const id of idsOf(each)) if (!names.has(id)) missing.add(id);
      if (found.length % paceEvery === 0) await pace();
    }
    if (missing.size > 0) await learn([...missing]);
    for (const [index, each] of found.entries()) {
      fill(each, names);
      if (index % paceEvery === paceEvery - 1) await pace();
    }
    // Made before this, and written after it: each takes as long as others should wait at once.
    if (found.length > paceEvery) await turn();
    return message;
  };

  async function* nameAll(desc: DescMessage, messages: AsyncIterable<Message>, request: Message | undefined) {
    try {
      for await (const message of messages) yield await name(desc, message);
    } catch (error) {
      throw await refusal(error, request);
    }
  }

  const refusal = async (error: unknown, request: Message | undefined): Promise<unknown> => {
    if (!(error instanceof AppError)) return error;
    if (error instanceof OperationFailed) await name(OperationSchema, error.operation);
    const topology = await topologyOf(request);
    const decky = error.metadata["decky"];
    if (topology === "" || decky === undefined || !deckyPattern.test(decky)) return error;
    return withMetadata(error, { ...error.metadata, decky: `${topology}/${decky}` });
  };

  const topologyOf = async (request: Message | undefined): Promise<string> => {
    const { decky, topology } = (request ?? {}) as { readonly decky?: unknown; readonly topology?: unknown };
    if (isMessage(decky, DeckyRefSchema)) return decky.topology;
    if (typeof topology !== "string" || topology === "") return "";
    if (!names.has(topology)) await learn([topology]);
    return names.get(topology) ?? topology;
  };

  return (next) => async (request) => {
    const { input, output } = request.method;
    const method = `${request.service.typeName}/${request.method.name}`;
    if (agentCalls[method] !== undefined || masterCalls.has(method)) return next(request);
    if (!request.stream) {
      await resolve(input, request.message);
      try {
        const response = await next(request);
        return response.stream ? response : { ...response, message: await name(output, response.message) };
      } catch (error) {
        throw await refusal(error, request.message);
      }
    }
    let only: Message | undefined;
    const message = (async function* resolveAll() {
      for await (const each of request.message) {
        only = each;
        await resolve(input, each);
        yield each;
      }
    })();
    try {
      const response = await next({ ...request, message });
      if (!response.stream) return response;
      return { ...response, message: nameAll(output, response.message, only) };
    } catch (error) {
      throw await refusal(error, only);
    }
  };
}

function idsOf(message: Message): string[] {
  if (isMessage(message, DeckyRefSchema)) return message.topologyId === "" ? [] : [message.topologyId];
  if (isMessage(message, OperationSchema)) return message.topology === "" ? [] : [message.topology];
  return textsOf(message).flatMap((text) => [...text.matchAll(idBeforeDecky)].map(([id]) => id));
}

function textsOf(message: Message): readonly string[] {
  if (isMessage(message, DeckySchema)) return [message.message];
  return isMessage(message, OperationErrorSchema) ? message.next : [];
}

function fill(message: Message, names: ReadonlyMap<string, string>): void {
  const inText = (text: string) => text.replaceAll(idBeforeDecky, (id) => names.get(id) ?? id);
  if (isMessage(message, DeckyRefSchema)) message.topology = names.get(message.topologyId) ?? "";
  else if (isMessage(message, OperationSchema)) message.topology = names.get(message.topology) ?? message.topology;
  else if (isMessage(message, DeckySchema)) message.message = inText(message.message);
  else if (isMessage(message, OperationErrorSchema)) message.next = message.next.map(inText);
}

/** Every message inside that may name a topology, the outer ones first. */
function* messagesIn(desc: DescMessage, message: Message): Generator<Message> {
  if (targets.has(desc.typeName)) yield message;
  for (const field of waysIn(desc)) {
    const inner = field.message;
    if (inner !== undefined) for (const each of valuesOf(field, message)) yield* messagesIn(inner, each);
  }
}

function valuesOf(field: DescField, message: Message): readonly Message[] {
  const holder = message as unknown as Readonly<Record<string, unknown>>;
  const oneof = field.oneof === undefined ? undefined : (holder[field.oneof.localName] as OneOf | undefined);
  const value = field.oneof === undefined ? holder[field.localName] : oneof?.case === field.localName ? oneof.value : undefined;
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values.filter((each): each is Message => isMessage(each));
}

interface OneOf {
  readonly case?: string;
  readonly value?: unknown;
}

const ways = new Map<string, readonly DescField[]>();

/** The fields of a type that lead to such messages: most responses have none, and are not looked through. */
function waysIn(desc: DescMessage): readonly DescField[] {
  const kept = ways.get(desc.typeName);
  if (kept !== undefined) return kept;
  const found = desc.fields.filter(({ message }) => message !== undefined && leadsThere(message, new Set()));
  ways.set(desc.typeName, found);
  return found;
}

function leadsThere(desc: DescMessage, seen: Set<string>): boolean {
  if (targets.has(desc.typeName)) return true;
  if (seen.has(desc.typeName)) return false;
  seen.add(desc.typeName);
  return desc.fields.some(({ message }) => message !== undefined && leadsThere(message, seen));
}

function withMetadata(error: AppError, metadata: Readonly<Record<string, string>>): AppError {
  const { reason, message, violations, resource, retryAfterMs, outputTail } = error;
  const options = {
    metadata,
    violations,
    outputTail,
    cause: error,
    ...(resource === undefined ? {} : { resource }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
  return error instanceof OperationFailed
    ? new OperationFailed(reason, message, error.operation, options)
    : new AppError(reason, message, options);
}
