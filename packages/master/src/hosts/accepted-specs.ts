import type { AcceptedDecky } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { deckyKey } from "@decnet/engine/spec";
import { parseDeckyRef } from "@decnet/engine/wire/decky-spec";
import type { Resolution } from "../decide/resolution.ts";
import { resolveAhead, resolveLost, type WhenBehind } from "../decide/resolve-behind.ts";
import { type Decky, isBehind } from "../model/decky.ts";
import type { Host } from "../model/host.ts";
import type { Tx } from "../store/database.ts";
import type { Store } from "../store/store.ts";

type Named = Pick<Host, "name">;

interface DeckyName {
  readonly scope: string;
  readonly name: string;
}

/** A spec that an agent accepted. */
interface Held extends DeckyName {
  readonly id: string;
  readonly revision: number;
}

export interface Compared {
  /** Live elsewhere by now, or nowhere: the agent removes them. */
  readonly remove: readonly DeckyName[];
  /** Nothing of them is known here: the database is of a backup from before them, and nobody said what counts. */
  readonly strays: readonly string[];
}

/**
 * What an agent says that it accepted, beside what is known here. Of a decky that its host is ahead of, or does not have any
 * more, that is noted. What this database never heard of is not what it removed: it stays where it is, unless an operator
 * wants what the database knows.
 */
export async function compareAccepted(
  tx: Tx,
  host: Named,
  accepted: readonly AcceptedDecky[],
  { store, whenBehind }: { readonly store: Store; readonly whenBehind: WhenBehind },
): Promise<Compared> {
  const held = accepted.map(({ decky, id, revision }): Held => ({ ...parseDeckyRef(decky), id, revision }));
  // One that still has to be removed from this host is removed by its move, when the fleet's policy says so.
  const own = await store.deckies.concerning(tx, host.name);
  const ofOwn = new Map(own.map((decky) => [labelOf(decky), decky]));
  const foreign = held.filter((each) => !ofOwn.has(labelOf(each)));
  const elsewhere = new Map((await store.deckies.withIds(tx, idsOf(foreign))).map((decky) => [decky.id, decky]));
  const isAhead = ({ id, revision }: Held) => revision > (elsewhere.get(id)?.desiredRevision ?? Number.POSITIVE_INFINITY);
  const ahead = whenBehind === "overwrite" ? [] : foreign.filter(isAhead);
  const said = new Map(held.map((each) => [labelOf(each), each.revision]));
  await noteAll(tx, own, store, (decky) => ofItsHost(decky, said.get(labelOf(decky)), host));
  const deckiesAhead = ahead.flatMap(({ id }) => elsewhere.get(id) ?? []);
  await noteAll(tx, deckiesAhead, store, (decky) => resolveAhead(decky, said.get(labelOf(decky)) ?? 0, host.name));
  const unknown = foreign.filter(({ id }) => !elsewhere.has(id));
  const known = whenBehind === "overwrite" ? undefined : await store.deckies.everKnown(tx, idsOf(unknown));
  const strays = known === undefined ? [] : unknown.filter(({ id }) => !known.has(id));
  const kept = new Set([...ahead, ...strays]);
  const leaving = held.filter((each) => ofOwn.get(labelOf(each))?.leaving === true);
  return {
    remove: [...leaving, ...foreign.filter((each) => !kept.has(each))].map(({ scope, name }) => ({ scope, name })),
    strays: strays.map(deckyKey),
  };
}

/** `revision` is what its host says that it has; undefined when it has nothing of it. */
function ofItsHost(decky: Decky, revision: number | undefined, { name }: Named): Resolution | undefined {
  if (decky.host !== name) return undefined;
  if (revision !== undefined) return resolveAhead(decky, revision);
  // Another host said that it is ahead: this one cannot say that it is not.
  return isBehind(decky) ? undefined : resolveLost(decky);
}

async function noteAll(
  tx: Tx,
  deckies: readonly Decky[],
  store: Store,
  decide: (decky: Decky) => Resolution | undefined,
): Promise<void> {
  const decisions = (all: readonly Decky[]) =>
    all.flatMap((decky) => {
      const resolution = decide(decky);
      return resolution === undefined ? [] : [{ decky, resolution }];
    });
  const changed = decisions(deckies).map(({ decky }) => decky);
  if (changed.length > 0) await store.resolutions.write(tx, decisions(await store.deckies.lockNamed(tx, changed)));
}

function labelOf({ id, ...key }: DeckyName & { readonly id: string }): string {
  return `${deckyKey(key)} ${id}`;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Of a worker that says nonsense, nothing is looked up. */
function idsOf(all: readonly Held[]): string[] {
  return all.flatMap(({ id }) => (uuid.test(id) ? [id] : []));
}
