import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { dateOf } from "@decnet/common/runtime/foreign-time";
import {
  type DeckyObservation,
  DeckyObservationSchema,
  type DeckyOutcome,
  DeckyOutcomeSchema,
} from "@decnet/contract/gen/decnet/v1/agent_pb";
import { DeckyState, ServiceState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import {
  type ContainerFacts as ContainerFactsMessage,
  ContainerVerdict,
  type OperationStep,
  OperationStepSchema,
  type Plan as PlanMessage,
  PlanSchema,
  type Receipt as ReceiptMessage,
  type ReceiptSchema,
  StepState,
} from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { JudgedDecky, JudgedService } from "../diagnose/judge.ts";
import type { ContainerFacts, Receipt } from "../execute/receipt.ts";
import { type FailureReason, failureReasons } from "../execute/step-failed.ts";
import { formatPlan, type PlanView, type Risk, type RiskCode, type StepView } from "../plan/plan.ts";
import { toRefMessage } from "./decky-spec.ts";

/** What a host reports about an apply, as messages and back: both ends of the connection use the same tables. */

/** What happened to a step, without what only its executor needs. */
export type StepReport =
  | { readonly kind: "started" | "succeeded"; readonly step: StepView; readonly at: Date }
  | {
      readonly kind: "failed";
      readonly step: StepView;
      readonly at: Date;
      readonly message: string;
      readonly outputTail: readonly string[];
    };

export interface HostFailure {
  readonly step: StepView;
  /** APPLY_FAILED when it is left out. */
  readonly reason?: FailureReason;
  readonly message: string;
  readonly outputTail: readonly string[];
}

export interface HostOutcome {
  readonly plan: PlanView;
  readonly receipt: Receipt;
  /** Undefined for a decky that is to be gone. */
  readonly judged: JudgedDecky | undefined;
  /** Undefined when the decky is as wanted. */
  readonly failure: HostFailure | undefined;
}

export const deckyStates = {
  pending: DeckyState.PENDING,
  running: DeckyState.RUNNING,
  degraded: DeckyState.DEGRADED,
  detached: DeckyState.DETACHED,
  failed: DeckyState.FAILED,
  unknown: DeckyState.UNKNOWN,
} as const satisfies Record<JudgedDecky["state"], DeckyState>;

export const serviceStates = {
  running: ServiceState.RUNNING,
  not_listening: ServiceState.NOT_LISTENING,
  exited: ServiceState.EXITED,
  restarting: ServiceState.RESTARTING,
  missing: ServiceState.MISSING,
  detached: ServiceState.DETACHED,
  outdated: ServiceState.OUTDATED,
  port_taken: ServiceState.PORT_TAKEN,
  exhausted: ServiceState.EXHAUSTED,
} as const satisfies Record<JudgedService["state"], ServiceState>;

export const verdicts = {
  unchanged: ContainerVerdict.UNCHANGED,
  created: ContainerVerdict.CREATED,
  recreated: ContainerVerdict.RECREATED,
  restarted: ContainerVerdict.RESTARTED,
  removed: ContainerVerdict.REMOVED,
} as const;

function wordOf<Word extends string>(table: Readonly<Record<Word, number>>, value: number, fallback: Word): Word {
  return (Object.keys(table) as Word[]).find((word) => table[word] === value) ?? fallback;
}

export function toPlanMessage(plan: PlanView): PlanMessage {
  return create(PlanSchema, {
    steps: plan.steps.map((step) => ({
      number: step.number,
      verb: step.verb,
      target: step.target,
      cause: step.cause,
      service: step.service,
    })),
    untouched: [...plan.untouched],
    risks: plan.risks.map((risk) => ({ ...risk, subjects: [...risk.subjects] })),
    digest: plan.digest,
    text: formatPlan(plan),
    observed: [...(plan.observed ?? [])],
  });
}

const riskCodes: readonly RiskCode[] = ["cut-sessions", "restart-base", "teardown"];

export function fromPlanMessage(plan: PlanMessage | undefined): PlanView {
  return {
    steps: (plan?.steps ?? []).map(({ number, verb, target, cause, service }) => ({
      number,
      verb,
      target,
      cause,
      service,
    })),
    untouched: plan?.untouched ?? [],
    risks: (plan?.risks ?? []).flatMap((risk): Risk[] => {
      const code = riskCodes.find((known) => known === risk.code);
      return code === undefined ? [] : [{ code, count: risk.count, message: risk.message, subjects: risk.subjects }];
    }),
    digest: plan?.digest ?? "",
    observed: plan?.observed ?? [],
  };
}

export function toStepMessage(event: StepReport): OperationStep {
  const at = timestampFromDate(event.at);
  const { number, verb, target, cause, service } = event.step;
  return create(OperationStepSchema, {
    number,
    verb,
    target,
    cause,
    service,
    ...(event.kind === "started"
      ? { state: StepState.RUNNING, startedAt: at }
      : { state: event.kind === "succeeded" ? StepState.SUCCEEDED : StepState.FAILED, finishedAt: at }),
    outputTail: event.kind === "failed" ? [event.message, ...event.outputTail] : [],
  });
}

export function fromStepMessage(message: OperationStep): StepReport {
  const step = {
    number: message.number,
    verb: message.verb,
    target: message.target,
    cause: message.cause,
    service: message.service,
  };
  switch (message.state) {
    case StepState.SUCCEEDED:
      return { kind: "succeeded", step, at: dateOf(message.finishedAt) };
    case StepState.FAILED: {
      const [text = "failed", ...outputTail] = message.outputTail;
      return { kind: "failed", step, at: dateOf(message.finishedAt), message: text, outputTail };
    }
    default:
      return { kind: "started", step, at: dateOf(message.startedAt) };
  }
}

export function toReceiptMessage(receipt: Receipt): MessageInitShape<typeof ReceiptSchema> {
  return {
    othersUnchanged: receipt.othersUnchanged,
    containers: receipt.containers.map((container) => ({
      name: container.name,
      service: container.service,
      verdict: verdicts[container.verdict],
      planned: container.planned,
      ...(container.before === undefined ? {} : { before: { ...container.before } }),
      ...(container.after === undefined ? {} : { after: { ...container.after } }),
    })),
  };
}

function fromReceiptMessage(receipt: ReceiptMessage | undefined): Receipt {
  const facts = (message: ContainerFactsMessage | undefined): ContainerFacts | undefined =>
    message === undefined ? undefined : { id: message.id, startedAt: message.startedAt, restartCount: message.restartCount };
  return {
    othersUnchanged: receipt?.othersUnchanged ?? false,
    containers: (receipt?.containers ?? []).map((container) => ({
      name: container.name,
      service: container.service,
      before: facts(container.before),
      after: facts(container.after),
      verdict: wordOf(verdicts, container.verdict, "unchanged"),
      planned: container.planned,
    })),
  };
}

export function toObservationMessage(
  decky: { readonly scope: string; readonly name: string },
  revision: number,
  judged: JudgedDecky,
  at: Date,
): DeckyObservation {
  return create(DeckyObservationSchema, {
    decky: toRefMessage(decky),
    revision,
    state: deckyStates[judged.state],
    message: judged.message,
    baseContainerId: judged.baseId,
    deniedPackets: judged.denied ?? 0,
    services: judged.services.map((service) => ({
      slug: service.slug,
      state: serviceStates[service.state],
      message: service.message,
      containerName: service.containerName,
      containerId: service.containerId,
      startedAt: service.startedAt,
      restartCount: service.restartCount,
      listening: [...service.listening],
      openSessions: service.openSessions,
    })),
    observedAt: timestampFromDate(at),
  });
}

export function fromObservationMessage(message: DeckyObservation): JudgedDecky {
  return {
    state: wordOf(deckyStates, message.state, "pending"),
    message: message.message,
    baseId: message.baseContainerId,
    ...(message.deniedPackets === 0 ? {} : { denied: message.deniedPackets }),
    services: message.services.map((service) => ({
      slug: service.slug,
      state: wordOf(serviceStates, service.state, "missing"),
      message: service.message,
      containerName: service.containerName,
      containerId: service.containerId,
      startedAt: service.startedAt,
      restartCount: service.restartCount,
      listening: service.listening,
      openSessions: service.openSessions,
    })),
  };
}

export function toOutcomeMessage(
  decky: { readonly scope: string; readonly name: string },
  revision: number,
  outcome: HostOutcome,
  at: Date,
): DeckyOutcome {
  return create(DeckyOutcomeSchema, {
    decky: toRefMessage(decky),
    revision,
    plan: toPlanMessage(outcome.plan),
    receipt: toReceiptMessage(outcome.receipt),
    ...(outcome.judged === undefined ? {} : { observation: toObservationMessage(decky, revision, outcome.judged, at) }),
    ...(outcome.failure === undefined
      ? {}
      : {
          failure: {
            step: toStepMessage({ ...outcome.failure, kind: "failed", at }),
            reason: outcome.failure.reason ?? "APPLY_FAILED",
            message: outcome.failure.message,
            outputTail: [...outcome.failure.outputTail],
          },
        }),
  });
}

export function fromOutcomeMessage(message: DeckyOutcome): HostOutcome {
  const { failure } = message;
  return {
    plan: fromPlanMessage(message.plan),
    receipt: fromReceiptMessage(message.receipt),
    judged: message.observation === undefined ? undefined : fromObservationMessage(message.observation),
    failure:
      failure === undefined
        ? undefined
        : {
            step: fromStepMessage(failure.step ?? create(OperationStepSchema)).step,
            reason: failureReasons.find((known) => known === failure.reason) ?? "APPLY_FAILED",
            message: failure.message,
            outputTail: failure.outputTail,
          },
  };
}
