import { createPace, inSlices, mapSliced } from "@decnet/common/runtime/slices";
import type { Catalog } from "@decnet/engine/catalog/types";
import { digestOf, formatPlan, type PlanView } from "@decnet/engine/plan/plan";
import type { HostTarget } from "@decnet/engine/wire/decky-spec";
import type { HostedTarget } from "../convergence/image-preparation.ts";
import { type DeckyChange, wantedDecky } from "../decide/decky-change.ts";
import { isAway } from "../links/host-link.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import { emptyPlan, type PlanRecord, toPlanRecord, unknownPlan } from "../model/operation.ts";
import { diffServices } from "../model/services.ts";
import { toTarget } from "../model/spec.ts";
import type { PartChange } from "./store-parts.ts";

/** Plans of changes of many deckies, whatever they are parts of. */

/** A stored plan names so many deckies one by one. */
const mostNamed = 500;

export interface DeckyPlans {
  /** The plan of each decky that changes, as its host makes it now. */
  parts(changes: readonly DeckyChange[]): Promise<PlannedPart[]>;
}

export function createDeckyPlans(hosts: Pick<HostRegistry, "isReachable" | "link">, catalog: Catalog): DeckyPlans {
  const planPart = async (change: DeckyChange): Promise<PlannedPart> => {
    const { decky, host } = change;
    const found = await planThere(host, targetOf(change));
    const text =
      found === undefined ? "  its host is away: what has to be done there is known when it is back" : formatPlan(found);
    const plan = toPlanRecord(found ?? unknownPlan, text, decky.desiredRevision, changesOf(change, catalog));
    return { change, plan: { ...plan, observed: found?.observed ?? [] } };
  };

  /** Undefined when the host is away, or turns out to be. */
  const planThere = async (host: string, target: HostTarget): Promise<PlanView | undefined> => {
    try {
      return hosts.isReachable(host) ? await hosts.link(host).plan(target) : undefined;
    } catch (error) {
      if (isAway(error)) return undefined;
      throw error;
    }
  };

  return {
    async parts(changes) {
      const parts: PlannedPart[] = [];
      const pace = createPace();
      for (const change of changes) {
        if (change.action !== "keep") parts.push(await planPart(change));
        await pace();
      }
      return parts;
    },
  };
}

function placeOf({ decky, host }: DeckyChange): { readonly scope?: string; readonly name: string; readonly host: string } {
  return { ...(decky.scope === "fleet" ? {} : { scope: decky.scope }), name: decky.name, host };
}

export interface PlannedPart {
  readonly change: DeckyChange;
  readonly plan: PlanRecord;
}

function targetOf(change: DeckyChange): HostTarget {
  const { action, decky, services } = change;
  const revision = action === "deploy" ? 1 : decky.desiredRevision + 1;
  return toTarget(wantedDecky(change), services, revision, action === "teardown");
}

/** What the changes put on hosts. */
export function hostedTargets(changes: readonly DeckyChange[]): HostedTarget[] {
  return changes.flatMap((change) => {
    const target = targetOf(change);
    return target.kind === "present" ? [{ host: change.host, target }] : [];
  });
}

function changesOf({ action, before, services }: DeckyChange, catalog: Catalog) {
  return diffServices(before, action === "teardown" ? [] : services, catalog);
}

/** Made-up identities of new deckies differ from plan to plan and are not part of what is agreed to. */
export async function digestOfDifference(changes: readonly DeckyChange[], catalog: Catalog): Promise<string> {
  const agreed = mapSliced(changes, (change) => [
    change.decky.name,
    change.host,
    change.action,
    changesOf(change, catalog),
    change.decky.desiredRevision,
  ]);
  return digestOf(await inSlices(agreed));
}

/** Each part is applied only as it was agreed to; of a new decky there was nothing to be seen. */
export function agreedParts(changes: readonly DeckyChange[], agreed: PlanRecord | undefined): PartChange[] {
  const digests = new Map(agreed?.deckies?.map((part) => [part.name, part.plan.digest]));
  return changes.map((change) => ({
    change,
    expectedPlan: change.action === "deploy" ? "" : (digests.get(change.decky.name) ?? ""),
  }));
}

export function planOf(changes: readonly DeckyChange[], parts: readonly PlannedPart[]): PlanRecord {
  const agreed = parts.map(({ change, plan }) => [
    change.decky.name,
    change.host,
    change.action,
    plan.changes,
    plan.baseRevision,
    change.action === "deploy" ? "" : plan.digest,
  ]);
  return emptyPlan({
    untouched: changes.filter((each) => each.action === "keep").map((each) => each.decky.name),
    risks: parts.flatMap((part) => part.plan.risks),
    digest: digestOf(agreed),
    text: parts.map(({ change, plan }) => `${describe(change)}\n${plan.text}`).join("\n") || "nothing to do",
    deckies: parts.map(({ change, plan }) => ({ ...placeOf(change), action: change.action, plan })),
  });
}

/**
 * What was asked for without a plan: which deckies, and what of them changes; what their containers see is planned by their
 * hosts.
 */
export function summary(all: readonly DeckyChange[], catalog: Catalog): PlanRecord {
  const changes = all.filter((each) => each.action !== "keep");
  const parts = changes.slice(0, mostNamed).map((change) => ({
    ...placeOf(change),
    action: change.action,
    plan: emptyPlan({
      baseRevision: change.decky.desiredRevision,
      changes: changesOf(change, catalog),
      text: describe(change),
    }),
  }));
  const more = changes.length > mostNamed ? [`and ${changes.length - mostNamed} more`] : [];
  return emptyPlan({
    untouched: all
      .filter((each) => each.action === "keep")
      .slice(0, mostNamed)
      .map((each) => each.decky.name),
    text: [...parts.map((part) => part.plan.text), ...more].join("\n") || "nothing to do",
    deckies: parts,
  });
}

function describe({ action, host, decky }: DeckyChange): string {
  if (action === "move") return `move ${decky.name} from ${decky.host} to ${host}`;
  return `${action} ${decky.name}${host === "local" ? "" : ` on ${host}`}`;
}
