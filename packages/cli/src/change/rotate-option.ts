import { parseDuration } from "../text/duration.ts";
import { UsageError } from "../usage-error.ts";

/** `--rotate 6h --rotate-among ssh,ftp` */
export function rotateOf({
  rotate,
  rotateAmong,
}: {
  readonly rotate?: string | undefined;
  readonly rotateAmong?: string | undefined;
}) {
  if (rotate === undefined && rotateAmong !== undefined) throw new UsageError("--rotate-among is for --rotate");
  if (rotate === undefined) return {};
  const ms = parseDuration(rotate);
  if (ms === undefined) throw new UsageError("--rotate is a time such as 30m, 6h or 1d");
  const services = (rotateAmong ?? "").split(",").filter((slug) => slug !== "");
  return { rotate: { every: { seconds: BigInt(Math.floor(ms / 1_000)) }, services } };
}
