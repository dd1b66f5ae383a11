import type { Logger } from "@decnet/common/logging/logger";
import type { Catalog } from "@decnet/engine/catalog/types";
import { type AttachmentSpec, deckyKey } from "@decnet/engine/spec";
import { type PresentTarget, parseSpecMessage } from "@decnet/engine/wire/decky-spec";
import { resolveAdopted, resolveOverwritten, type WhenBehind } from "../decide/resolve-behind.ts";
import { desiredServices } from "../decide/situation.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { type Decky, homeOf } from "../model/decky.ts";
import type { Store } from "../store/store.ts";

/** A host that says it is so far ahead is not believed to be: nothing is done about it without an operator. */
const mostAhead = 1_000;

export interface CatchUpOptions {
  readonly store: Store;
  readonly registry: Pick<HostRegistry, "link" | "leaseOf" | "wantResync">;
  readonly catalog: Catalog;
  readonly log: Logger;
  readonly whenBehind: WhenBehind;
}

/**
 * A host is connected: what it has of deckies that are known here as they were earlier is adopted or overwritten, as the operator
 * wants; without a word nothing is lost on either side.
 */
export async function catchUp(host: string, { store, registry, catalog, log, whenBehind }: CatchUpOptions): Promise<void> {
  const all = await store.deckies.behind(host);
  const behind = all.filter(({ aheadRevision, desiredRevision }) => aheadRevision - desiredRevision <= mostAhead);
  if (behind.length < all.length)
    log.error("a host says of deckies that they are at impossible revisions", { host, deckies: all.length - behind.length });
  if (behind.length === 0) return;
  if (whenBehind === "hold") {
    log.warn("a host has later revisions of deckies than this database, which is of a backup", { host, deckies: behind.length });
    return;
  }
  const specs =
    whenBehind === "adopt" ? await readSpecs(host, behind, { registry, catalog, log }) : new Map<string, PresentTarget>();
  for (const { id, name, desiredRevision, aheadRevision } of behind) {
    const spec = specs.get(id);
    if (whenBehind === "adopt" && spec === undefined) {
      log.warn("a decky was not adopted: its host did not say what it has", { host, decky: name });
      continue;
    }
    const last = spec === undefined ? aheadRevision : spec.spec.revision - 1;
    try {
      await store.deckies.fillRevisions(id, desiredRevision, last);
      await store.resolver.resolve({
        decky: { id },
        lease: () => registry.leaseOf(host),
        decide: (now) =>
          spec === undefined ? resolveOverwritten(now.decky, desiredServices(now)) : resolveAdopted(now.decky, spec),
      });
      log.info(`a decky was ${whenBehind === "adopt" ? "adopted" : "overwritten"}`, { host, decky: name, revision: last + 1 });
    } catch (error) {
      log.error("a decky that is behind could not be brought up to date", { host, decky: name, err: error });
    }
  }
  registry.wantResync(host);
}

/** What the host has, as far as it may be adopted: of this very decky, on its LAN, with its MAC address. By id. */
async function readSpecs(
  host: string,
  behind: readonly Decky[],
  { registry, catalog, log }: Pick<CatchUpOptions, "registry" | "catalog" | "log">,
): Promise<Map<string, PresentTarget>> {
  const known = new Map(behind.map((decky) => [decky.id, decky]));
  const specs = (await registry.link(host).readSpecs(behind)) ?? [];
  return new Map(
    specs
      .flatMap((message) => {
        try {
          return [parseSpecMessage(message, catalog)];
        } catch (error) {
          // One that cannot be adopted keeps no other from it.
          log.warn("a worker has a decky that cannot be adopted", { host, decky: message.ref?.name, err: error });
          return [];
        }
      })
      .filter(({ id, spec }) => {
        const decky = known.get(id);
        return decky !== undefined && deckyKey(spec) === deckyKey(decky) && isSamePlace(spec.attachments[0], homeOf(decky));
      })
      .map((target) => [target.id, target]),
  );
}

function isSamePlace(one: AttachmentSpec, other: AttachmentSpec): boolean {
  return one.lan.name === other.lan.name && one.mac === other.mac;
}
