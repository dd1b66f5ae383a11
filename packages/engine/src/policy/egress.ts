import { z } from "zod";
import { parseRange } from "../tables/subnets.ts";

/** What a decky may call besides its neighbours. */
export interface EgressRule {
  /** An IPv4 network, or one address as a /32. */
  readonly cidr: string;
  /** Undefined: every protocol. */
  readonly protocol?: "tcp" | "udp" | undefined;
  /** Only with a protocol; undefined: every port. */
  readonly port?: number | undefined;
}

/** At most so many of one decky, or of one service. */
export const mostEgressRules = 64;

/** An address alone means itself. Undefined for what is neither that nor a network whose host bits are all zero. */
export function readCidr(text: string): string | undefined {
  const [, address = "", bits = "32"] = /^([\d.]+)(?:\/(\d|[12]\d|3[0-2]))?$/.exec(text) ?? [];
  const first = parseRange(address)?.first;
  // Some read a zero in front as another number.
  if (first === undefined || /(^|\.)0\d/.test(address)) return undefined;
  return first === parseRange(`${address}/${bits}`)?.first ? `${address}/${bits}` : undefined;
}

/** As files, requests and the catalog write it. */
export const egressRule = z
  .strictObject({
    cidr: z.string().transform((text, context) => {
      const cidr = readCidr(text);
      if (cidr !== undefined) return cidr;
      context.addIssue({ code: "custom", message: "is not an IPv4 address or network such as 192.0.2.0/24" });
      return z.NEVER;
    }),
    protocol: z.enum(["tcp", "udp"], "must be tcp or udp").optional(),
    port: z.number().int().min(1, "must be from 1 to 65535").max(65_535, "must be from 1 to 65535").optional(),
  })
  .refine(({ protocol, port }) => port === undefined || protocol !== undefined, {
    path: ["protocol"],
    message: "a port needs a protocol: tcp or udp",
  });

export const egressRules = z.array(egressRule).max(mostEgressRules, `at most ${mostEgressRules} rules`);

/** For people: `192.0.2.0/24 tcp 443`. */
export function egressText({ cidr, protocol, port }: EgressRule): string {
  return [cidr, protocol, port].filter((part) => part !== undefined).join(" ");
}
