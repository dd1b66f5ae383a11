import { createProgramMetrics, type ProgramMetrics } from "@decnet/common/metrics/program-metrics";

export interface AgentMetrics extends Pick<ProgramMetrics, "interceptor" | "text"> {
  readonly applied: (result: "applied" | "failed", durationMs: number) => void;
  watch(sources: AgentSources): void;
}

/** What is asked whenever somebody reads. */
export interface AgentSources {
  readonly isConnected: () => boolean;
  readonly deckies: () => number;
  readonly queuedReports: () => number;
  /** Undefined before the first drift check. */
  readonly checkedMsAgo: () => number | undefined;
  readonly certificateUntil: () => Date;
}

const dayMs = 86_400_000;

export function createAgentMetrics(version: string): AgentMetrics {
  const metrics = createProgramMetrics(version);
  const { gauge, duration } = metrics;
  const applies = duration({
    name: "decnet_apply_duration_seconds",
    help: "Duration of applies, by how they ended.",
    labels: ["result"],
    buckets: [0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300],
  });
  const one = (value: number) => [{ labels: {}, value }];
  return {
    ...metrics,
    applied: (result, durationMs) => applies(durationMs, { result }),
    watch({ isConnected, deckies, queuedReports, checkedMsAgo, certificateUntil }) {
      gauge({ name: "decnet_agent_connected", help: "1 while the agent is connected to a master." }, () =>
        one(isConnected() ? 1 : 0),
      );
      gauge({ name: "decnet_agent_deckies", help: "Deckies that this host was told to run." }, () => one(deckies()));
      gauge({ name: "decnet_agent_reports_queued", help: "Reports that the master does not have yet." }, () =>
        one(queuedReports()),
      );
      gauge({ name: "decnet_agent_check_age_seconds", help: "Since the last drift check that the engine answered." }, () => {
        const ms = checkedMsAgo();
        return ms === undefined ? [] : one(ms / 1_000);
      });
      const days = { name: "decnet_certificate_days_left", help: "Days until the first certificate of a kind ends." };
      gauge({ ...days, labels: ["of"] }, () => [
        { labels: { of: "agent" }, value: (certificateUntil().getTime() - Date.now()) / dayMs },
      ]);
    },
  };
}
