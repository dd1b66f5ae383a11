import { createHash } from "node:crypto";
import type { GuardSpec } from "../policy/guard.ts";
import type { Publication } from "../policy/publication.ts";
import type { ImageRecipe } from "../render/images.ts";
import type { LanSpec } from "../spec.ts";

/** A helper interface as it should be. */
export interface HelperSpec {
  readonly name: string;
  readonly kind: string;
  readonly parent: string;
  readonly owner: string;
  /** The host's address on the parent. */
  readonly address: string;
}

/** Arguments of each verb. One step is one external call; every step is safe to repeat. */
export interface StepFields {
  /** Nothing can be done before somebody removes what is in the way; its cause says what. */
  blocked: Record<never, never>;
  "prepare-image": { readonly image: ImageRecipe | string };
  "create-network": { readonly lan: LanSpec };
  /** A leg of the host on a macvlan or ipvlan LAN. */
  "create-helper": { readonly helper: HelperSpec };
  "add-route": { readonly helper: string; readonly from: string };
  "remove-route": { readonly helper: string };
  /** Keeps the deckies of a LAN from the ports of their host. */
  contain: { readonly lan: string };
  /** Lets pass what deckies route into a LAN that is cut off. */
  admit: Record<never, never>;
  /** Removes a network with its helper and its rule once nobody is on it; of one that was adopted, only the latter. */
  "release-network": { readonly owner: string; readonly isAdopted: boolean };
  "write-project": Record<never, never>;
  /** Gives a container another name. */
  rename: { readonly container: string; readonly id: string };
  "leave-network": { readonly id: string };
  /** Keeps the decky to itself, inside the network namespace of its base. */
  guard: { readonly guard: GuardSpec };
  create: { readonly container: string };
  recreate: { readonly container: string };
  start: { readonly container: string; readonly id: string };
  restart: { readonly container: string; readonly id: string; readonly graceSeconds: number };
  stop: { readonly container: string; readonly id: string; readonly graceSeconds: number };
  remove: { readonly container: string; readonly id: string };
  settle: { readonly container: string };
  /** Ports of the decky on its host. */
  publish: { readonly publications: readonly Publication[] };
  unpublish: { readonly publications: readonly Publication[] };
  "remove-project": Record<never, never>;
}

export type StepVerb = keyof StepFields;

interface StepCommon {
  readonly number: number;
  /** Container name, image tag or network name. */
  readonly target: string;
  /** Empty for the base and for host-wide steps. */
  readonly service: string;
  readonly cause: string;
}

/** A step without what only its executor needs: the same on every host. */
export interface StepView extends StepCommon {
  readonly verb: string;
}

export type StepOf<K extends StepVerb> = { readonly verb: K } & StepFields[K] & StepCommon;
export type Step = { [K in StepVerb]: StepOf<K> }[StepVerb];

/** A step that has no number yet. */
export type Draft = { [K in StepVerb]: { readonly verb: K } & StepFields[K] & Omit<StepCommon, "number"> }[StepVerb];

export type RiskCode = "cut-sessions" | "restart-base" | "teardown";

export interface Risk {
  readonly code: RiskCode;
  readonly count: number;
  readonly message: string;
  readonly subjects: readonly string[];
}

/** What will be done to one decky, and why. Pure data. */
export interface Plan {
  readonly steps: readonly Step[];
  /** Names of containers that no step names. */
  readonly untouched: readonly string[];
  readonly risks: readonly Risk[];
  /** Identifies the plan together with the state of the world it was made for. */
  readonly digest: string;
  /** That state as people read it: `web-ssh 0123456789ab running since …` for each container. */
  readonly observed?: readonly string[];
}

/** A plan without the arguments of its steps. */
export type PlanView = Omit<Plan, "steps"> & { readonly steps: readonly StepView[] };

export function formatPlan(plan: Pick<PlanView, "steps">): string {
  if (plan.steps.length === 0) return "nothing to do";
  return plan.steps.map((step) => `${step.number} ${step.verb} ${step.target} (${step.cause})`).join("\n");
}

/** Names of the containers that the plan's steps act on. */
export function plannedContainers(plan: Pick<Plan, "steps">): Set<string> {
  return new Set(plan.steps.flatMap((step) => ("container" in step && step.verb !== "settle" ? [step.container] : [])));
}

/** Digest over anything JSON can say, in a stable form; 32 hex digits. */
export function digestOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 32);
}
