import { expect, it } from "vitest";
import { explain } from "./explain.ts";

const named = (name: string, message: string, more: object = {}) => Object.assign(new Error(message), { name, ...more });

it.each<[what: string, error: Error, kind: string]>([
  ["nobody listens", named("KafkaJSNumberOfRetriesExceeded", "Connection error: connect ECONNREFUSED 127.0.0.1:1"), "away"],
  ["a broker that hangs", named("KafkaJSRequestTimeoutError", "Request Produce(key: 0, version: 7) timed out"), "silent"],
  ["a broker that does not connect", named("KafkaJSConnectionError", "Connection timeout"), "away"],
  ["a leader that is gone", named("KafkaJSProtocolError", "There is no leader", { type: "LEADER_NOT_AVAILABLE" }), "election"],
  ["another leader", named("KafkaJSProtocolError", "not the leader for that", { type: "NOT_LEADER_FOR_PARTITION" }), "election"],
  ["a leader that nobody knows", named("KafkaJSBrokerNotFound", "Broker -1 not found in the cached metadata"), "election"],
  [
    "a leader that does not answer",
    named("AfterAnswer", "no", { cause: named("KafkaJSConnectionError", "Connection error: connect ECONNREFUSED 127.0.0.1:1") }),
    "leader",
  ],
  ["no controller", named("KafkaJSProtocolError", "not the correct controller", { type: "NOT_CONTROLLER" }), "election"],
  ["no coordinator", named("KafkaJSProtocolError", "no", { type: "GROUP_COORDINATOR_NOT_AVAILABLE" }), "election"],
  ["copies that come late", named("KafkaJSProtocolError", "no", { type: "REQUEST_TIMED_OUT" }), "replicas"],
  ["a wrong password", named("KafkaJSSASLAuthenticationError", "Authentication failed"), "credentials"],
  ["an unknown mechanism", named("KafkaJSProtocolError", "no", { type: "UNSUPPORTED_SASL_MECHANISM" }), "mechanism"],
  ["a certificate of somebody else", named("KafkaJSConnectionError", "self-signed certificate in chain"), "certificate"],
  ["a certificate for another name", named("Error", "no", { code: "ERR_TLS_CERT_ALTNAME_INVALID" }), "certificate"],
  ["TLS to a port without", named("KafkaJSConnectionError", "write EPROTO 0A00010B:SSL routines::wrong version number"), "tls"],
  ["a missing file", named("Error", "ENOENT: no such file or directory, open '/ca.pem'", { code: "ENOENT" }), "file"],
  ["no permission", named("KafkaJSProtocolError", "Not authorized", { type: "TOPIC_AUTHORIZATION_FAILED" }), "permission"],
  ["a topic that is not there", named("Error", "topics are missing: decnet.host"), "topic"],
  ["too few copies", named("KafkaJSProtocolError", "no", { type: "NOT_ENOUGH_REPLICAS" }), "replicas"],
  ["a message that is too large", named("KafkaJSProtocolError", "no", { type: "MESSAGE_TOO_LARGE" }), "size"],
  ["a name that nobody knows", named("Error", "getaddrinfo ENOTFOUND kafka.invalid"), "name"],
  ["the database", named("AppError", "away", { reason: "STORAGE_UNAVAILABLE" }), "storage"],
  ["a certificate of the database", named("AppError", "certificate", { reason: "STORAGE_UNTRUSTED" }), "storage"],
  ["anything else", named("KafkaJSError", "surprise"), "other"],
])("%s is said as what it is", (_what, error, kind) => expect(explain(error)).toMatchObject({ kind }));

it("looks at what caused an error, and says it in its words", () => {
  const error = new Error("gave up", { cause: named("Error", "connect ECONNREFUSED") });
  expect(explain(error)).toEqual({
    kind: "away",
    cause: "no broker answers (gave up)",
    next: expect.stringContaining("Events wait in the database"),
  });
});
