import { isDeepStrictEqual } from "node:util";
import { overlap } from "@decnet/engine/tables/subnets";
import type { Design, TopologyAttachment, TopologyDecky, TopologyLan } from "../../model/topology.ts";
import { parseSubnet } from "../addresses.ts";
import type { TakenSubnet } from "./validate.ts";

/** One thing of a design that an edit changed; null where there was none, or is none any more. */
export interface Changed<Thing> {
  /** Its place in the list. */
  readonly at: number;
  readonly before: Thing | null;
  readonly after: Thing | null;
}

/** What an edit made of a design: enough to take it back, whatever else of the design changed since. */
export interface EditTrace {
  readonly lans: readonly Changed<TopologyLan>[];
  readonly deckies: readonly Changed<TopologyDecky>[];
}

export interface TakenBack {
  readonly design: Design;
  /** What stays as the edit made it, or could not come back, and why. */
  readonly stays: readonly string[];
}

export interface Around {
  /** The deckies that are there, by id, and whether each is being torn down. */
  readonly there: ReadonlyMap<string, { readonly leaving: boolean }>;
  readonly takenSubnets: readonly TakenSubnet[];
}

export function traceEdit(before: Design, after: Design): EditTrace {
  return {
    lans: changes(before.lans, after.lans, ({ name }) => name),
    deckies: changes(before.deckies, after.deckies, ({ id }) => id),
  };
}

function changes<Thing>(before: readonly Thing[], after: readonly Thing[], keyOf: (thing: Thing) => string): Changed<Thing>[] {
  const then = new Map(after.map((each) => [keyOf(each), each]));
  const first = new Set(before.map(keyOf));
  return [
    ...before.flatMap((each, at) => {
      const other = then.get(keyOf(each)) ?? null;
      return isDeepStrictEqual(each, other) ? [] : [{ at, before: each, after: other }];
    }),
    ...after.flatMap((each, at) => (first.has(keyOf(each)) ? [] : [{ at, before: null, after: each }])),
  ];
}

type Stay = (why: string) => void;

/**
 * The design without what an edit made of it. What others changed since stays as they made it: each LAN, each decky, each place
 * of a decky and each of its properties goes back only if it still is as the edit left it. A decky that is not there any more is
 * not designed, and one that was torn down does not come back. Pure.
 */
export function takeBackEdit(now: Design, trace: EditTrace, around: Around): TakenBack {
  const stays: string[] = [];
  const stay: Stay = (why) => void stays.push(why);
  let design = now;
  // Places are on LANs: those come first, and go last.
  for (const change of trace.lans) if (change.after === null) design = restoreLan(design, change, around, stay);
  for (const change of trace.deckies) design = takeBackDecky(design, change, around, stay);
  for (const change of trace.lans) if (change.after !== null) design = takeBackLan(design, change, stay);
  return { design, stays };
}

function restoreLan(design: Design, { at, before }: Changed<TopologyLan>, { takenSubnets }: Around, stay: Stay): Design {
  if (before === null) return design;
  const { lans } = design;
  const own = lans.map(({ name, subnet }) => ({ subnet, holder: `the LAN ${name}` }));
  const taken = [...own, ...takenSubnets].find(({ subnet }) => overlap(subnet, before.subnet));
  const isNamed = lans.some(({ name }) => name === before.name);
  if (!isNamed && taken === undefined) return { ...design, lans: inserted(lans, at, before) };
  stay(
    isNamed
      ? `another LAN is called ${before.name} by now`
      : `the LAN ${before.name} is gone: ${taken?.holder} has ${taken?.subnet} by now`,
  );
  return design;
}

function takeBackLan(design: Design, { before, after }: Changed<TopologyLan>, stay: Stay): Design {
  const { lans, deckies } = design;
  const lan = lans.find(({ name }) => name === after?.name);
  // Somebody removed it.
  if (lan === undefined) return design;
  const onIt = deckies.find(({ attachments }) => attachments.some((each) => each.lan === lan.name));
  const isSame = isDeepStrictEqual(lan, after);
  if (isSame && before !== null) return { ...design, lans: lans.map((each) => (each === lan ? before : each)) };
  if (isSame && onIt === undefined) return { ...design, lans: lans.filter((each) => each !== lan) };
  stay(`the LAN ${lan.name} ${isSame ? `stays: ${onIt?.name} is on it` : "was changed since"}`);
  return design;
}

function takeBackDecky(design: Design, { at, before, after }: Changed<TopologyDecky>, around: Around, stay: Stay): Design {
  const { deckies } = design;
  const id = (before ?? after)?.id;
  const decky = deckies.find((each) => each.id === id);
  if (after === null) return before === null || decky !== undefined ? design : restoreDecky(design, at, before, around, stay);
  // Somebody removed it.
  if (decky === undefined) return design;
  if (before !== null) {
    const back = {
      ...propertiesBack(decky, before, after, stay),
      attachments: placesBack(design, decky, { before, after }, stay),
    };
    return { ...design, deckies: deckies.map((each) => (each === decky ? back : each)) };
  }
  if (around.there.get(decky.id)?.leaving === false && !isDeepStrictEqual(decky, after)) {
    stay(`${decky.name} stays: it was changed since`);
    return design;
  }
  return { ...design, deckies: deckies.filter((each) => each !== decky) };
}

function restoreDecky(design: Design, at: number, before: TopologyDecky, { there }: Around, stay: Stay): Design {
  const { name, attachments } = before;
  const present = there.get(before.id);
  const isNamed = design.deckies.some((each) => each.name === name);
  const taken = isNamed ? `another decky is called ${name} by now` : undefined;
  const why = present === undefined ? `${name} is gone` : present.leaving ? `${name} is still being torn down` : taken;
  if (why !== undefined) {
    stay(why);
    return design;
  }
  const places = attachments.filter((place) => isFree(design, place, before, stay));
  // Its home is what it cannot be without.
  if (places[0] !== attachments[0]) return design;
  return { ...design, deckies: inserted(design.deckies, at, { ...before, attachments: places }) };
}

/** All but its places. */
function propertiesBack(decky: TopologyDecky, before: TopologyDecky, after: TopologyDecky, stay: Stay): TopologyDecky {
  const back = <Key extends keyof TopologyDecky>(key: Key): TopologyDecky[Key] => {
    if (isDeepStrictEqual(before[key], after[key]) || isDeepStrictEqual(decky[key], before[key])) return decky[key];
    if (isDeepStrictEqual(decky[key], after[key])) return before[key];
    stay(`${key} of ${decky.name} was changed since`);
    return decky[key];
  };
  const { rotation: _rotation, egress: _egress, ...rest } = decky;
  const [rotation, egress] = [back("rotation"), back("egress")];
  return {
    ...{ ...rest, archetype: back("archetype"), services: back("services"), forwards: back("forwards") },
    ...(rotation === undefined ? {} : { rotation }),
    ...(egress === undefined ? {} : { egress }),
  };
}

function placesBack(
  design: Design,
  decky: TopologyDecky,
  { before, after }: { readonly before: TopologyDecky; readonly after: TopologyDecky },
  stay: Stay,
): TopologyAttachment[] {
  const find = ({ attachments }: Pick<TopologyDecky, "attachments">, lan: string) => attachments.find((each) => each.lan === lan);
  const kept = decky.attachments.filter((place) => {
    const made = find(after, place.lan);
    if (made === undefined || find(before, place.lan) !== undefined) return true;
    if (isDeepStrictEqual(place, made)) return false;
    stay(`${decky.name} was attached to ${place.lan} again since`);
    return true;
  });
  const lost = before.attachments
    .map((place, at) => ({ place, at }))
    .filter(({ place: { lan } }) => find(after, lan) === undefined && find({ attachments: kept }, lan) === undefined);
  return lost.reduce(
    (places, { place, at }) => (isFree(design, place, decky, stay) ? inserted(places, at, place) : places),
    kept,
  );
}

/** Whether a place can be had again. */
function isFree(design: Design, { lan, ip, mac }: TopologyAttachment, { id, name }: TopologyDecky, stay: Stay): boolean {
  const found = design.lans.find((each) => each.name === lan);
  if (found === undefined || parseSubnet(found.subnet)?.hasHost(ip) !== true) {
    stay(`${name} is not on ${lan}, which is ${found === undefined ? "not there any more" : "another network by now"}`);
    return false;
  }
  const holder = design.deckies.find(
    (each) => each.id !== id && each.attachments.some((place) => place.lan === lan && (place.ip === ip || place.mac === mac)),
  );
  if (holder !== undefined) stay(`${name} is not on ${lan}: ${holder.name} has its address ${ip} by now`);
  return holder === undefined;
}

function inserted<Thing>(things: readonly Thing[], at: number, thing: Thing): Thing[] {
  return [...things.slice(0, at), thing, ...things.slice(at)];
}
