import { AppError } from "@decnet/common/errors/app-error";
import type { PresentTarget } from "@decnet/engine/wire/decky-spec";
import { type Decky, type Identity, isBehind, type StoredService } from "../model/decky.ts";
import { stateEvent } from "../model/events.ts";
import { type Resolution, resolution } from "./resolution.ts";

/** What this master does about a decky whose host has a later revision than it knows of. */
export type WhenBehind = "hold" | "adopt" | "overwrite";

/**
 * A host says which revision of a decky it has. Undefined when that says nothing new. What it runs of a revision that is not
 * known here is not known either. `host` may be another one than is known here: the decky moved there later. Pure.
 */
export function resolveAhead(decky: Decky, revision: number, host = decky.host): Resolution | undefined {
  const ahead = revision > decky.desiredRevision ? revision : 0;
  if (ahead === 0)
    return decky.aheadRevision === 0
      ? undefined
      : resolution("its host is not ahead any more", { decky: { kind: "patch", patch: { aheadRevision: 0 } } });
  const message = `${host} runs r${ahead} of it, and the newest revision known here is r${decky.desiredRevision}`;
  if (ahead === decky.aheadRevision && decky.state === "unknown" && decky.message === message) return undefined;
  return resolution("its host is ahead", {
    decky: { kind: "patch", patch: { aheadRevision: ahead, state: "unknown", message } },
    events: stateEvent(decky, "unknown", message),
  });
}

/** Its host has nothing of it any more, whatever was seen there: it is made again, unless that waits for somebody. Pure. */
export function resolveLost(decky: Decky): Resolution | undefined {
  if (decky.renderedRevision === 0 || decky.leaving) return undefined;
  const patch = { renderedRevision: 0, retryAt: null } as const;
  if (decky.state === "changing") return resolution("its host lost it", { decky: { kind: "patch", patch } });
  const message = `${decky.host} has nothing of it any more`;
  return resolution("its host lost it", {
    decky: { kind: "patch", patch: { ...patch, state: "unknown", message } },
    events: stateEvent(decky, "unknown", message),
  });
}

/** A change of what is known here would lose what its host has. */
export function refuseBehind(decky: Decky): void {
  if (!isBehind(decky)) return;
  const { name, host, aheadRevision, desiredRevision } = decky;
  throw new AppError(
    "DECKY_BEHIND",
    `${host} runs r${aheadRevision} of ${name}, and the newest revision known here is r${desiredRevision}`,
    {
      metadata: { decky: name, host },
    },
  );
}

/** The decky becomes what its host has. Undefined when it is not behind that any more. Pure. */
export function resolveAdopted(decky: Decky, { spec, distro }: PresentTarget): Resolution | undefined {
  if (!isBehind(decky) || spec.revision < decky.aheadRevision || decky.leaving) return undefined;
  const { revision: number, hostname, osFamily, baseImage, buildBase, attachments, services } = spec;
  const identity: Identity = { ...decky.identity, hostname, distro, osFamily, baseImage, buildBase };
  return resolution("adopted from its host", {
    decky: {
      kind: "patch",
      patch: {
        identity,
        attachments,
        appliedIdentity: { identity, attachments },
        desiredRevision: number,
        appliedRevision: number,
        renderedRevision: number,
        aheadRevision: 0,
        retryAt: null,
        retryCause: "",
        failures: 0,
        message: "",
      },
    },
    revision: { ...madeBy(decky, number, services), reason: `adopted from ${decky.host}` },
  });
}

/** What is known here is wanted, as a revision that is later than its host's. Undefined when it is not behind any more. Pure. */
export function resolveOverwritten(decky: Decky, services: readonly StoredService[]): Resolution | undefined {
  if (!isBehind(decky)) return undefined;
  const number = decky.aheadRevision + 1;
  return resolution("overwrites what its host has", {
    decky: { kind: "patch", patch: { desiredRevision: number, aheadRevision: 0, retryAt: null, retryCause: "" } },
    revision: { ...madeBy(decky, number, services), reason: `r${decky.desiredRevision} again, over r${decky.aheadRevision}` },
    again: true,
  });
}

function madeBy({ id }: Decky, number: number, services: readonly StoredService[]) {
  return { deckyId: id, number, services, actor: "restore", operationId: "" };
}
