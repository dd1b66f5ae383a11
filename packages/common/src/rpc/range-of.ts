import { type DescField, getOption, hasOption } from "@bufbuild/protobuf";
import { range } from "@decnet/contract/gen/decnet/v1/range_pb";

export interface FieldRange {
  readonly min: bigint;
  readonly max: bigint;
}

const known = new WeakMap<DescField, FieldRange | undefined>();

/** What the contract says that a number may be; undefined when it says nothing. Options are slow to read: once each. */
export function rangeOf(field: DescField): FieldRange | undefined {
  if (known.has(field)) return known.get(field);
  const found = hasOption(field, range) ? getOption(field, range) : undefined;
  const made = found === undefined ? undefined : { min: BigInt(found.min), max: BigInt(found.max) };
  known.set(field, made);
  return made;
}
