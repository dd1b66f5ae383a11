import type { EgressRule } from "@decnet/contract/gen/decnet/v1/decky_pb";

/** What is allowed to call whom, as it is typed: `198.51.100.0/24=tcp/443`. */
export type TypedEgress = Pick<EgressRule, "cidr" | "protocol" | "port">;

export function formatEgress(rules: readonly TypedEgress[]): string {
  return rules
    .map(({ cidr, protocol, port }) => `${cidr}${protocol === "" ? "" : `=${protocol}`}${port === 0 ? "" : `/${port}`}`)
    .join(" ");
}

/** Every packet that a decky sent and that was not let out counts. */
export function formatDenied(packets: number): string {
  return packets === 0 ? "" : `${packets} packet${packets === 1 ? "" : "s"} denied`;
}
