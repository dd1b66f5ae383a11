import type { Diagnosis, DiagnosisOf, DiagnosisWord, Unfit } from "../diagnose/diagnosis.ts";

/** What is done about a diagnosis. `wait`: nothing but wait until the ports listen. */
export type Cure =
  | { readonly act: "nothing" | "wait" }
  | { readonly act: "create" | "recreate" | "start" | "restart" | "stop"; readonly cause: string };

type Cures = { readonly [Word in DiagnosisWord]: (diagnosis: DiagnosisOf<Word>) => Cure };
/** What is not here is said in the words of the diagnosis. */
type Causes = Readonly<Partial<Record<Unfit["why"], string>>>;

const serviceCures: Cures = {
  running: () => ({ act: "nothing" }),
  missing: () => ({ act: "create", cause: "requested" }),
  restarting: ({ isLasting }) => (isLasting ? { act: "recreate", cause: "restarts again and again" } : { act: "wait" }),
  // Nothing that is done to it helps while others have its ports; see `freedBy`.
  port_taken: () => ({ act: "wait" }),
  exhausted: ({ sentence, remedy }) => {
    if (remedy === "wait") return { act: "wait" };
    return remedy === "none" ? { act: "nothing" } : { act: remedy, cause: sentence };
  },
  exited: ({ status, sentence }) => ({ act: exitedActs[status], cause: status === "created" ? "never started" : sentence }),
  detached: () => ({ act: "restart", cause: "detached from the base" }),
  // What only a new one helps is handled before, and what can be mended has its own steps.
  outdated: () => ({ act: "nothing" }),
  not_listening: ({ ports, isOverdue }) =>
    isOverdue ? { act: "restart", cause: `does not listen on ${ports.join(", ")}` } : { act: "wait" },
};

const exitedActs = {
  exited: "start",
  created: "start",
  paused: "restart",
  removing: "recreate",
  dead: "recreate",
} as const satisfies Record<DiagnosisOf<"exited">["status"], Cure["act"]>;

const serviceCauses: Causes = {
  other_settings: "config changed",
};

const rejoin = "joined a base that is gone";

/** A base that can be kept is kept: its services join its namespace, and its identity is the decky's. */
const baseCures: Cures = {
  ...serviceCures,
  missing: () => ({ act: "create", cause: "base is absent" }),
  restarting: () => ({ act: "restart", cause: "base is restarting" }),
  exited: ({ status }) => ({ act: exitedActs[status], cause: `base is ${status}` }),
};

const baseCauses: Causes = { other_settings: "identity changed" };

/** What is unfit is replaced, whatever its state; for everything else there is one cure for each word. */
function cureFrom(cures: Cures, causes: Causes, diagnosis: Diagnosis): Cure {
  const { unfit } = diagnosis;
  if (unfit !== undefined) return { act: "recreate", cause: causes[unfit.why] ?? unfit.sentence };
  return (cures[diagnosis.word] as (diagnosis: Diagnosis) => Cure)(diagnosis);
}

export function cureOfBase(diagnosis: Diagnosis): Cure {
  return cureFrom(baseCures, baseCauses, diagnosis);
}

/**
 * The cure of a service in view of the containers that the plan ends anyway: when all that hold its ports are among them, its
 * ports are free after that.
 */
export function freedBy(ended: ReadonlySet<string>, { word, taken }: Diagnosis, cure: Cure): Cure {
  if (word !== "port_taken" || cure.act !== "wait" || !isFreedBy(ended, taken)) return cure;
  return { act: "restart", cause: `${taken.map(({ port }) => port).join(", ")} was held by others` };
}

/** Whether no port is held any more once these containers have ended. */
export function isFreedBy(ended: ReadonlySet<string>, taken: Diagnosis["taken"]): boolean {
  return taken.every(({ holder }) => holder !== undefined && ended.has(holder.container));
}

/** A new base takes new services, and a base that is started or restarted leaves its services in a dead namespace. */
export function cureOfService(diagnosis: Diagnosis, base: Cure): Cure {
  const own = cureFrom(serviceCures, serviceCauses, diagnosis);
  if (own.act === "create" || own.act === "recreate" || base.act === "nothing" || base.act === "wait") return own;
  if (base.act === "create" || base.act === "recreate") return { act: "recreate", cause: rejoin };
  return own.act === "start" || own.act === "stop" ? own : { act: "restart", cause: "detached from the base" };
}
