import type { Operation } from "../model/operation.ts";
import { phaseOf } from "../model/operation-phase.ts";
import { applyResolution, type OperationChange, type Resolution } from "./resolution.ts";
import type { Situation } from "./situation.ts";

/**
 * A resolution as text, for tests and debug logs: `r8: undo of op-1 [ssh redis] · op-1 undoing APPLY_FAILED · host local, desired
 * r8`.
 */
export function formatResolution(situation: Pick<Situation, "decky">, resolution: Resolution): string {
  const { decky: before } = situation;
  const { decky: after } = applyResolution(situation, resolution);
  const { revision } = resolution;
  const slugs = revision?.services.map((service) => (service.staged === undefined ? service.slug : `${service.slug}*`));
  return [
    revision === undefined ? "" : `r${revision.number}: ${revision.reason || resolution.why} [${slugs?.join(" ") ?? ""}]`,
    ...resolution.operations.map(formatChange),
    ...resolution.opens.map((operation) => `opens ${formatOperation(operation)}`),
    after === undefined ? `${before.name} gone` : formatDecky(before, after),
    resolution.again ? "again" : "",
  ]
    .filter((part) => part !== "")
    .join(" · ");
}

function formatChange({ operation, patch }: OperationChange): string {
  return formatOperation({ ...operation, ...patch });
}

function formatOperation(operation: Operation): string {
  const error = operation.error === null ? "" : ` ${operation.error.reason}${operation.error.undone ? " undone" : ""}`;
  return `${operation.id} ${phaseOf(operation)}${error}`;
}

type Shown = Parameters<typeof formatDecky>[0];

function formatDecky(before: Situation["decky"], after: Situation["decky"]): string {
  const revisions = ["desiredRevision", "appliedRevision", "renderedRevision"] as const;
  const changes = [
    ...revisions.flatMap((key) => (before[key] === after[key] ? [] : [`${key.replace("Revision", "")} r${after[key]}`])),
    change("host", (decky) => decky.host),
    change("state", (decky) => decky.state),
    change("message", (decky) => JSON.stringify(decky.message)),
    change("removals", (decky) => `[${decky.pendingRemovals.join(" ")}]`),
    change("leaving", (decky) => String(decky.leaving)),
    change("repair paused", (decky) => String(decky.repairPaused)),
    change("failures", (decky) => String(decky.failures)),
  ];
  return changes.filter((text) => text !== "").join(", ");

  function change(name: string, of: (decky: Shown) => string): string {
    const value = of(after);
    return of(before) === value ? "" : `${name} ${value}`;
  }
}
