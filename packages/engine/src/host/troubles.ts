import type { JudgedDecky } from "../diagnose/judge.ts";
import type { ObservedHost } from "../observe/observed.ts";
import { admissionTroubles } from "../policy/admission.ts";
import type { ObservedGuard } from "../policy/guard.ts";
import { containmentTroubles } from "../policy/plan-containment.ts";
import { guardTroubles } from "../policy/plan-guard.ts";
import { differPublications, publicationTroubles } from "../policy/published.ts";
import type { RenderedDecky } from "../render/render-decky.ts";
import { deckyKey } from "../spec.ts";

export function withDenied(judged: JudgedDecky, guard: ObservedGuard | undefined): JudgedDecky {
  return guard === undefined || guard.denied === 0 ? judged : { ...judged, denied: guard.denied };
}

/** What is wrong around a decky on its host, for people. */
export function troublesOf(
  { spec, publications }: Pick<RenderedDecky, "spec" | "publications">,
  { containments, published, guard, admissions }: Pick<ObservedHost, "containments" | "published" | "guard" | "admissions">,
): string[] {
  return [
    ...containmentTroubles(containments),
    ...guardTroubles(guard),
    ...admissionTroubles(admissions),
    ...publicationTroubles(differPublications(publications, deckyKey(spec), published)),
  ];
}
