import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { AppError } from "@decnet/common/errors/app-error";
import { type RepairReport, RepairReportSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import type { OperationStep } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { repairInVain } from "@decnet/engine/diagnose/repair-verdict";
import type { Receipt } from "@decnet/engine/execute/receipt";
import type { PlanView, StepView } from "@decnet/engine/plan/plan";
import { type DeckySpec, deckyKey } from "@decnet/engine/spec";
import { toRefMessage } from "@decnet/engine/wire/decky-spec";
import { fromStepMessage, type HostOutcome, toOutcomeMessage, toStepMessage } from "@decnet/engine/wire/outcome";
import type { Runner } from "./runner.ts";

export interface Repaired {
  /** Empty when it helped. */
  readonly whyInVain: string;
  /** Undefined: it was well again by itself before anything was done. */
  readonly report: RepairReport | undefined;
}

/** Repairs one decky, and says what there is to tell of it; undefined when that is somebody else's to tell. */
export async function repairDecky(runner: Pick<Runner, "repair">, spec: DeckySpec, cause: string): Promise<Repaired | undefined> {
  const startedAt = new Date();
  const steps: OperationStep[] = [];
  let begun: PlanView = { steps: [], untouched: [], risks: [], digest: "" };
  const hasActed = () => steps.some((step) => step.verb !== "settle");
  const outcome = await runner
    .repair(deckyKey(spec), {
      expectedDigest: "",
      onPlan: (made) => {
        begun = made;
      },
      onStep: (event) => void (event.kind !== "started" && steps.push(toStepMessage(event))),
    })
    .catch((error: unknown) => {
      const last = steps.at(-1);
      if (last === undefined || !hasActed() || isCutOff(error)) throw error;
      return unseenEnd(begun, fromStepMessage(last).step, error);
    });
  if (outcome === undefined) return undefined;
  const whyInVain = causeOf(outcome);
  if (outcome.failure === undefined && !hasActed()) return { whyInVain, report: undefined };
  const finishedAt = new Date();
  const { receipt, ...told } = toOutcomeMessage(spec, spec.revision, outcome, finishedAt);
  const report = create(RepairReportSchema, {
    decky: toRefMessage(spec),
    cause,
    outcome: outcome.receipt === unseen ? told : { ...told, receipt },
    steps,
    startedAt: timestampFromDate(startedAt),
    finishedAt: timestampFromDate(finishedAt),
  });
  return { whyInVain, report };
}

function causeOf({ plan, judged, failure }: HostOutcome): string {
  if (failure !== undefined) return failure.message === "" ? (failure.reason ?? "APPLY_FAILED") : failure.message;
  return repairInVain(plan, judged) ?? "";
}

/** Nobody looked afterwards: nothing is proved, and no receipt is told. */
const unseen: Receipt = { containers: [], othersUnchanged: false };

/** Of a repair that acted, and whose end could not be observed: that it acted is told. */
function unseenEnd(plan: PlanView, step: StepView, error: unknown): HostOutcome {
  const message = `what came of it is not known: ${error instanceof Error ? error.message : String(error)}`;
  return { plan, receipt: unseen, judged: undefined, failure: { step, message, outputTail: [] } };
}

/** Something newer took over, or the next life does: that says what it found. */
function isCutOff(error: unknown): boolean {
  return error instanceof AppError && (error.reason === "REVISION_CONFLICT" || error.reason === "SHUTTING_DOWN");
}
