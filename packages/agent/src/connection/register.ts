import type { Logger } from "@decnet/common/logging/logger";
import type { AgentFacts, RegisterResponse } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { parseDeckyRef, toRefMessage } from "@decnet/engine/wire/decky-spec";
import type { Runner } from "../deckies/runner.ts";
import type { SpecStore } from "../deckies/spec-store.ts";
import type { ReportQueue } from "../reports/report-queue.ts";
import type { MasterClient } from "./master-client.ts";

export interface RegisterOptions {
  readonly instanceId: string;
  readonly facts: () => Promise<AgentFacts>;
  readonly specs: SpecStore;
  readonly runner: Runner;
  readonly reports: ReportQueue;
  readonly log: Logger;
  readonly stopping: AbortSignal;
}

/** When a thousand come back at once, they wait for each other. */
const registerMs = 30_000;

/** Says who this agent is and what it accepted; begins to remove what lives elsewhere now. */
export async function registerAgent(client: MasterClient, options: RegisterOptions): Promise<RegisterResponse> {
  const { specs, runner, reports, log, stopping } = options;
  const answer = await client.registration.register(
    {
      facts: await options.facts(),
      instanceId: options.instanceId,
      reportStream: reports.stream,
      accepted: specs.list().map(({ target: { spec, id } }) => ({ decky: toRefMessage(spec), id, revision: spec.revision })),
    },
    { timeoutMs: registerMs, signal: stopping },
  );
  await reports.resume(answer.acknowledged);
  const nothing = () => undefined;
  for (const ref of answer.remove) {
    const decky = { kind: "absent" as const, ...parseDeckyRef(ref) };
    log.info("removing a decky that lives elsewhere now", { decky: decky.name });
    // A failure is repaired by the next drift check: the spec is marked as leaving.
    void runner.remove(decky, { expectedDigest: "", onPlan: nothing, onStep: nothing }).catch((error: unknown) => {
      log.warn("a decky could not be removed", { decky: decky.name, err: error });
    });
  }
  return answer;
}
