import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { protocolVersion } from "@decnet/common/protocol-version";
import { type AgentFacts, AgentFactsSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";

/** What an agent without a machine of its own says of it. */
export function factsOf(machineName: string, catalogueDigest: string): AgentFacts {
  return create(AgentFactsSchema, {
    agentVersion: "test",
    protocolVersion,
    catalogueDigest,
    engineVersion: "29.0.0",
    composeVersion: "5.0.0",
    clock: timestampFromDate(new Date()),
    machineName,
  });
}
