import type { ContainerStatus, PortHolder } from "../observe/observed.ts";

/** Why a container cannot be kept, whatever it does: only a new one helps. */
export interface Unfit {
  readonly why: "other_settings" | "altered" | "joined_old_base" | "off_lan";
  readonly sentence: string;
}

/** What is wrong about a container and can be mended while it runs. */
export type Mend =
  | { readonly kind: "rename"; readonly sentence: string }
  | { readonly kind: "leave_network"; readonly network: string; readonly sentence: string };

/** A port of a service that somebody else has. */
export interface TakenPort {
  /** `22/tcp` */
  readonly port: string;
  /** Undefined: nobody that can be seen. */
  readonly holder: PortHolder | undefined;
}

interface Findings {
  /** Runs as wanted, and every port listens. */
  readonly running: Record<never, never>;
  readonly missing: Record<never, never>;
  /** `isLasting`: the engine has tried often enough. */
  readonly restarting: { readonly exitCode: number; readonly isLasting: boolean };
  /** Does not run, or not as wanted, because others have its ports. No repair of it helps before they are gone. */
  readonly port_taken: Record<never, never>;
  /** A limit of its container is used up; what helps, and is allowed: `none` when it was stopped for it. */
  readonly exhausted: { readonly remedy: "wait" | "restart" | "recreate" | "stop" | "none" };
  /** Is there and does not run. */
  readonly exited: { readonly status: Exclude<ContainerStatus, "running" | "restarting">; readonly exitCode: number };
  /** Runs where nobody can reach it: in a network namespace that is not the present base's, or not as it should on the LAN. */
  readonly detached: Record<never, never>;
  /** Runs, and is not what is wanted. */
  readonly outdated: Record<never, never>;
  /** `isOverdue`: it has had the time that it may take. */
  readonly not_listening: { readonly ports: readonly string[]; readonly isOverdue: boolean };
}

export type DiagnosisWord = keyof Findings;

export type DiagnosisOf<Word extends DiagnosisWord> = Findings[Word] & {
  /** The state that people are shown. */
  readonly word: Word;
  /** Says what is wrong; empty when nothing is. */
  readonly sentence: string;
  readonly unfit: Unfit | undefined;
  readonly mends: readonly Mend[];
  /** Its ports that others have, whatever else is wrong. */
  readonly taken: readonly TakenPort[];
};

/** What is wrong with one container, or that nothing is. The state that is shown and the step that is planned follow from it. */
export type Diagnosis = { [Word in DiagnosisWord]: DiagnosisOf<Word> }[DiagnosisWord];
