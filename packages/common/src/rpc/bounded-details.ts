import { create } from "@bufbuild/protobuf";
import { type Operation, OperationSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { FieldViolation } from "../errors/app-error.ts";

/**
 * Details travel in one header, and clients refuse headers of more than 8 KiB together. Whatever an error holds, its details stay
 * well under that; the whole operation is there for GetOperation.
 */
const most = {
  /** As it stands in the header of its own, where other than plain letters take three bytes or more. */
  message: 1_000,
  metadata: 550,
  metadataValue: 300,
  violations: 700,
  violation: 200,
  next: 400,
  resource: 128,
  description: 200,
  operationMessage: 250,
  outputTail: 400,
  word: 64,
  items: 40,
} as const;

const sizeOf = (text: string): number => Buffer.byteLength(text, "utf8");
const more = "…";

/** At most so many bytes, in whole characters; a cut text ends in "…". Halves of characters become U+FFFD. */
export function cutText(text: string, bytes: number, measure: (text: string) => number = sizeOf): string {
  // No text that fits has more characters, and no long one is measured as a whole.
  const whole = Buffer.from(text.slice(0, bytes + 1), "utf8").toString("utf8");
  if (measure(whole) <= bytes && text.length <= bytes) return whole;
  const characters = [...whole];
  let [fits, tooMany] = [0, characters.length];
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1;
    if (measure(`${characters.slice(0, middle).join("")}${more}`) <= bytes) fits = middle;
    else tooMany = middle;
  }
  return `${characters.slice(0, fits).join("")}${more}`;
}

export function boundMessage(message: string): string {
  return cutText(message, most.message, (text) => encodeURIComponent(text).length);
}

export function boundMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  const cut = Object.entries(metadata)
    .slice(0, most.items)
    .map(([key, value]) => [key, cutText(value, most.metadataValue)] as const);
  return Object.fromEntries(firstOf(cut, most.metadata, ([key, value]) => sizeOf(key) + sizeOf(value)));
}

export function boundViolations(violations: readonly FieldViolation[]): FieldViolation[] {
  const cut = violations.slice(0, most.items).map(({ field, description }) => ({
    field: cutText(field, most.violation),
    description: cutText(description, most.violation),
  }));
  return firstOf(cut, most.violations, ({ field, description }) => sizeOf(field) + sizeOf(description));
}

export function boundNext(next: readonly string[]): string[] {
  return firstOf(
    next.slice(0, most.items).map((line) => cutText(line, most.next)),
    most.next,
    sizeOf,
  );
}

export function boundResource({ type, name }: { readonly type: string; readonly name: string }): { type: string; name: string } {
  return { type: cutText(type, most.resource), name: cutText(name, most.resource) };
}

export function boundDescription(text: string): string {
  return cutText(text, most.description);
}

/** Which operation it is, why it failed, and the last lines of its output. */
export function boundOperation(operation: Operation): Operation {
  const { id, kind, state, decky, revision, service, host, parent, topology, error } = operation;
  const word = (text: string) => cutText(text, most.word);
  return create(OperationSchema, {
    id: word(id),
    kind,
    state,
    ...(decky === undefined
      ? {}
      : { decky: { topologyId: word(decky.topologyId), name: word(decky.name), topology: word(decky.topology) } }),
    revision,
    service: word(service),
    host: word(host),
    parent: word(parent),
    topology: word(topology),
    ...(error === undefined
      ? {}
      : {
          error: {
            reason: error.reason,
            message: cutText(error.message, most.operationMessage),
            outputTail: lastOf(
              error.outputTail.slice(-most.items).map((line) => cutText(line, most.description)),
              most.outputTail,
            ),
            undone: error.undone,
          },
        }),
  });
}

/** As many of the first as fit. */
function firstOf<T>(items: readonly T[], bytes: number, measure: (item: T) => number): T[] {
  let left = bytes;
  return items.filter((item) => {
    left -= measure(item);
    return left >= 0;
  });
}

function lastOf(lines: readonly string[], bytes: number): string[] {
  return firstOf([...lines].reverse(), bytes, sizeOf).reverse();
}
