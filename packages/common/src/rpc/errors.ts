import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Operation, OperationSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  HelpSchema,
  PreconditionFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "@decnet/contract/gen/google/rpc/error_details_pb";
import { isReason, type Reason, reasons, renderNextSteps } from "@decnet/contract/reasons";
import { AppError, type FieldViolation } from "../errors/app-error.ts";
import {
  boundDescription,
  boundMessage,
  boundMetadata,
  boundNext,
  boundOperation,
  boundResource,
  boundViolations,
} from "./bounded-details.ts";

const domain = "decnet";

/** An expected failure that also carries the operation it belongs to. */
export class OperationFailed extends AppError {
  readonly operation: Operation;
  constructor(reason: Reason, message: string, operation: Operation, options: ConstructorParameters<typeof AppError>[2] = {}) {
    super(reason, message, options);
    this.operation = operation;
  }
}

function detail<Desc extends DescMessage>(
  desc: Desc,
  value: MessageInitShape<Desc>,
): { desc: DescMessage; value: MessageInitShape<DescMessage> } {
  return { desc, value: create(desc, value) };
}

/**
 * An expected failure as it goes on the wire: message, stable reason, and the detail types that fit. All of it is bounded. The
 * code is the reason's, unless the protocol says another.
 */
export function toConnectError(error: AppError, code: Code = reasons[error.reason].code): ConnectError {
  const next = boundNext(error.next);
  const violations = boundViolations(error.violations);
  const resource = error.resource === undefined ? undefined : boundResource(error.resource);
  const description = boundDescription(error.message);
  return new ConnectError(
    boundMessage(error.message),
    code,
    undefined,
    [
      detail(ErrorInfoSchema, { reason: error.reason, domain, metadata: boundMetadata(error.metadata) }),
      ...(violations.length > 0 ? [detail(BadRequestSchema, { fieldViolations: violations })] : []),
      ...(resource === undefined
        ? []
        : [detail(ResourceInfoSchema, { resourceType: resource.type, resourceName: resource.name, description })]),
      ...(code === Code.FailedPrecondition
        ? [
            detail(PreconditionFailureSchema, {
              violations: [{ type: error.reason, subject: boundDescription(error.metadata["decky"] ?? ""), description }],
            }),
          ]
        : []),
      ...(error.retryAfterMs === undefined
        ? []
        : [
            detail(RetryInfoSchema, {
              retryDelay: { seconds: BigInt(Math.floor(error.retryAfterMs / 1000)), nanos: (error.retryAfterMs % 1000) * 1e6 },
            }),
          ]),
      ...(next.length > 0 ? [detail(HelpSchema, { links: next.map((description) => ({ description })) })] : []),
      ...(error instanceof OperationFailed ? [detail(OperationSchema, boundOperation(error.operation))] : []),
    ],
    error,
  );
}

/** A defect: nothing of it leaves but a correlation id. */
export function toInternalError(error: unknown, correlationId: string): ConnectError {
  const info = detail(ErrorInfoSchema, { reason: "INTERNAL", domain, metadata: { correlation_id: correlationId } });
  return new ConnectError(`internal error, correlation id ${correlationId}`, Code.Internal, undefined, [info], error);
}

/** What a caller can tell of a failed call. */
export interface CallFailure {
  readonly reason: Reason;
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly next: readonly string[];
  readonly operation: Operation | undefined;
}

/** Reads a failed call, also one that never reached a master. */
export function fromConnectError(error: unknown): CallFailure {
  const failure = ConnectError.from(error);
  const info = failure.findDetails(ErrorInfoSchema).find((candidate) => candidate.domain === domain);
  const reason = info !== undefined && isReason(info.reason) ? info.reason : reasonOf(failure.code);
  const help = failure.findDetails(HelpSchema).flatMap((candidate) => candidate.links.map((link) => link.description));
  return {
    reason,
    message: failure.rawMessage,
    metadata: info?.metadata ?? {},
    violations: failure.findDetails(BadRequestSchema).flatMap((candidate) => candidate.fieldViolations),
    next: help.length > 0 ? help : renderNextSteps(reason, info?.metadata ?? {}),
    operation: failure.findDetails(OperationSchema)[0],
  };
}

function reasonOf(code: Code): Reason {
  switch (code) {
    case Code.Unavailable:
      return "HOST_UNREACHABLE";
    case Code.DeadlineExceeded:
      return "WAIT_ENDED";
    case Code.Unauthenticated:
      return "UNAUTHENTICATED";
    case Code.PermissionDenied:
      return "NOT_ALLOWED";
    case Code.InvalidArgument:
      return "REQUEST_INVALID";
    default:
      return "INTERNAL";
  }
}
