import type { RouteSpec } from "@decnet/engine/spec";
import { parseRange } from "@decnet/engine/tables/subnets";
import type { Design, TopologyDecky } from "../../model/topology.ts";
import { formatIpv4 } from "../addresses.ts";

/** A LAN that is reached by way of a neighbour. */
interface Hop {
  readonly subnet: string;
  readonly via: string;
}

/**
 * Which way each decky has to each LAN that it is not on: by the deckies that forward, over as few of them as possible, and of
 * those that are equally near by the first in the design. There is no way where nobody forwards. Pure.
 */
export function createRouting({ lans, deckies }: Pick<Design, "lans" | "deckies">) {
  const subnets = new Map(lans.map(({ name, subnet }) => [name, subnet]));
  /** From each LAN to the next ones, with the address there of the first decky that leads over. */
  const next = new Map<string, Map<string, string>>(lans.map(({ name }) => [name, new Map()]));
  for (const { forwards, attachments } of deckies)
    for (const { lan, ip } of forwards ? attachments : [])
      for (const { lan: beyond } of attachments) {
        const there = next.get(lan);
        if (lan !== beyond && there?.has(beyond) === false) there.set(beyond, ip);
      }

  const waysFrom = (own: readonly string[]): Hop[] => {
    const known = new Set(own);
    const hops: Hop[] = [];
    /** Each LAN with the neighbour that leads there; undefined: it is an own one. */
    let last: readonly (readonly [lan: string, via: string | undefined])[] = own.map((lan) => [lan, undefined] as const);
    while (last.length > 0) {
      const reached: [string, string][] = [];
      for (const [lan, first] of last)
        for (const [beyond, ip] of next.get(lan) ?? []) {
          const subnet = subnets.get(beyond);
          if (known.has(beyond) || subnet === undefined) continue;
          const via = first ?? ip;
          known.add(beyond);
          hops.push({ subnet, via });
          reached.push([beyond, via]);
        }
      last = known.size < subnets.size ? reached : [];
    }
    return hops;
  };

  /** Deckies on the same LANs have the same ways: of their own forwarding nothing leads further. */
  const found = new Map<string, readonly RouteSpec[]>();
  return {
    routesOf({ attachments }: Pick<TopologyDecky, "attachments">): readonly RouteSpec[] {
      const own = attachments.map(({ lan }) => lan);
      const key = own.join(" ");
      const before = found.get(key);
      if (before !== undefined) return before;
      const routes = joined(waysFrom(own));
      found.set(key, routes);
      return routes;
    },
  };
}

export type Routing = ReturnType<typeof createRouting>;

interface Block {
  readonly first: number;
  readonly size: number;
  readonly via: string;
}

/** Networks side by side that one neighbour leads to are one route, where there is one that covers nothing else. */
function joined(hops: readonly Hop[]): RouteSpec[] {
  const blocks = hops
    .flatMap(({ subnet, via }): Block[] => {
      const range = parseRange(subnet);
      return range === undefined ? [] : [{ first: range.first, size: range.last - range.first + 1, via }];
    })
    .sort((one, other) => one.first - other.first);
  const done: Block[] = [];
  for (let block of blocks) {
    for (let before = done.at(-1); before !== undefined && areHalves(before, block); before = done.at(-1)) {
      done.pop();
      block = { ...before, size: 2 * before.size };
    }
    done.push(block);
  }
  return done.map(({ first, size, via }) => ({ to: `${formatIpv4(first)}/${32 - Math.log2(size)}`, via }));
}

function areHalves(one: Block, other: Block): boolean {
  const isNext = one.size === other.size && one.first + one.size === other.first;
  return isNext && one.first % (2 * one.size) === 0 && one.via === other.via;
}
