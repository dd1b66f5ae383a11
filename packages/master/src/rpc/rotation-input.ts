import type { FieldViolation } from "@decnet/common/errors/app-error";
import type { Rotation } from "@decnet/contract/gen/decnet/v1/decky_pb";
import type { Catalog } from "@decnet/engine/catalog/types";
import { type RotationSetting, rotationRange } from "../model/rotation.ts";
import { invalid } from "./requests.ts";

/** Undefined: nothing is said about it; null: services stay as they are. Throws REQUEST_INVALID. */
export function parseRotation(
  message: Rotation | undefined,
  field: string,
  { services: offer }: Pick<Catalog, "services">,
): RotationSetting | null | undefined {
  if (message === undefined) return undefined;
  const { seconds = 0n, nanos = 0 } = message.every ?? {};
  const everySeconds = Number(seconds);
  if (everySeconds === 0 && nanos === 0) return null;
  const problems: FieldViolation[] = [];
  const { leastSeconds, mostSeconds } = rotationRange;
  if (nanos !== 0 || !(everySeconds >= leastSeconds && everySeconds <= mostSeconds))
    problems.push({ field: `${field}.every`, description: "whole seconds, from 1m to 365d; 0 for none" });
  if (message.services.length > offer.size)
    problems.push({ field: `${field}.services`, description: "names more services than there are" });
  const bad = message.services.filter((slug) => offer.get(slug)?.singleton !== false).slice(0, 8);
  for (const slug of bad)
    problems.push({ field: `${field}.services`, description: `${JSON.stringify(slug.slice(0, 64))} is no service of a decky` });
  if (problems.length > 0) throw invalid(problems);
  return { everySeconds, services: [...new Set(message.services)] };
}
