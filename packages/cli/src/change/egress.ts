import type { TypedEgress } from "../text/egress.ts";
import { UsageError } from "../usage-error.ts";

/** What a number means is the master's to say; that it is none is said here. */
export function parseEgress(text: string): TypedEgress {
  const [, cidr = "", protocol = "", port = "0"] = /^([\d./]+)(?:=(tcp|udp)(?:\/(\d{1,5}))?)?$/.exec(text) ?? [];
  if (cidr === "") throw new UsageError(`a rule is like 198.51.100.0/24=tcp/443 or 198.51.100.7, not ${JSON.stringify(text)}`);
  return { cidr, protocol, port: Number(port) };
}

/** For an option that may be repeated; `false`: it was said that there is none. */
export function collectEgress(value: string, before: TypedEgress[] | false = []): TypedEgress[] {
  return [...(before || []), parseEgress(value)];
}
