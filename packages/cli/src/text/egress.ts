import type { EgressRule } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { UsageError } from "../usage-error.ts";

/** What is allowed to call whom, as it is typed: `198.51.100.0/24=tcp/443`. */
export type TypedEgress = Pick<EgressRule, "cidr" | "protocol" | "port">;

export function formatEgress(rules: readonly TypedEgress[]): string {
  return rules
    .map(({ cidr, protocol, port }) => `${cidr}${protocol === "" ? "" : `=${protocol}`}${port === 0 ? "" : `/${port}`}`)
    .join(" ");
}

/** What a number means is the master's to say; that it is none is said here. */
export function parseEgress(text: string): TypedEgress {
  const [, cidr = "", protocol = "", port = "0"] = /^([\d./]+)(?:=(tcp|udp)(?:\/(\d{1,5}))?)?$/.exec(text) ?? [];
  if (cidr === "") throw new UsageError(`a rule is like 198.51.100.0/24=tcp/443 or 198.51.100.7, not ${JSON.stringify(text)}`);
  return { cidr, protocol, port: Number(port) };
}

/** Every packet that a decky sent and that was not let out counts. */
export function formatDenied(packets: number): string {
  return packets === 0 ? "" : `${packets} packet${packets === 1 ? "" : "s"} denied`;
}
