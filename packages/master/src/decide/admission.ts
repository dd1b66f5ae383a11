import { toBinary } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { AppError } from "@decnet/common/errors/app-error";
import { oldestProtocolVersion, protocolVersion } from "@decnet/common/protocol-version";
import { isInTime } from "@decnet/common/runtime/foreign-time";
import { type AgentFacts, AgentFactsSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";

const maxSkewMs = 5 * 60_000;
const maxInterfaces = 1_000;
const maxFactsBytes = 64 << 10;

/** What both sides must have in common before a worker may run deckies. Throws the first thing that is not so. Pure. */
export function admit(
  facts: AgentFacts | undefined,
  own: { readonly catalogueDigest: string; readonly version: string; readonly now: Date },
): void {
  if (facts?.clock === undefined) throw new AppError("REQUEST_INVALID", "facts: are needed");
  if (!isInTime(facts.clock)) throw new AppError("REQUEST_INVALID", "facts.clock: is not a time");
  if (facts.interfaces.length > maxInterfaces || toBinary(AgentFactsSchema, facts).length > maxFactsBytes)
    throw new AppError("REQUEST_INVALID", `facts: are more than ${maxFactsBytes} bytes or ${maxInterfaces} interfaces`);
  if (facts.protocolVersion < oldestProtocolVersion || facts.protocolVersion > protocolVersion)
    throw new AppError(
      "VERSION_SKEW",
      `the worker (${facts.agentVersion || "unknown version"}) speaks protocol ${facts.protocolVersion}, ` +
        `this master (${own.version}) speaks ${protocolVersion}`,
      { metadata: { expected: String(protocolVersion), actual: String(facts.protocolVersion) } },
    );
  const skewMs = timestampDate(facts.clock).getTime() - own.now.getTime();
  if (Math.abs(skewMs) > maxSkewMs)
    throw new AppError(
      "CLOCK_SKEW",
      `the worker's clock is ${Math.round(Math.abs(skewMs) / 1000)} s ${skewMs > 0 ? "ahead" : "behind"}`,
      {
        metadata: { skew_ms: String(skewMs) },
      },
    );
  if (facts.catalogueDigest !== own.catalogueDigest)
    throw new AppError("CATALOGUE_MISMATCH", "the worker's catalog differs from the master's", {
      metadata: { expected: own.catalogueDigest.slice(0, 16), actual: facts.catalogueDigest.slice(0, 16) },
    });
}

/** For joining alone: a registered worker may lose its engine for a while. */
export function admitEngine(facts: AgentFacts | undefined): void {
  if (facts?.engineProblem) throw new AppError("ENGINE_UNUSABLE", facts.engineProblem);
}
