import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** One series of a gauge, as it is at this moment. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricOptions {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

/** What a program counts and measures of itself, as text for Prometheus. Names are in docs/metrics.md, which a test compares. */
export interface ProgramMetrics {
  /** Measures each call that is served. */
  readonly interceptor: Interceptor;
  counter(options: MetricOptions): (labels?: Readonly<Record<string, string>>, count?: number) => void;
  /** Seconds; its name ends with `_duration_seconds`. */
  duration(
    options: MetricOptions & { readonly buckets?: readonly number[] },
  ): (ms: number, labels?: Readonly<Record<string, string>>) => void;
  /** Asked each time that somebody reads. What is not known then has no series, and is never zero. */
  gauge(options: MetricOptions, collect: () => readonly Sample[] | Promise<readonly Sample[]>): void;
  /** Callers that ask at once share one text. */
  text(): Promise<string>;
}

/** More than this is a mistake, and no series. */
const mostSeries = 2_000;
const allOthers = "others";

let ofProcess: Registry | undefined;

/**
 * The process and its event loop, once however many programs run in it: what watches an event loop wakes it up a hundred times a
 * second, and cannot be stopped.
 */
function watchProcess(): Registry {
  if (ofProcess !== undefined) return ofProcess;
  ofProcess = new Registry();
  collectDefaultMetrics({ register: ofProcess });
  return ofProcess;
}

/** Besides what is added: the version, the process, its event loop, and the calls that it serves. */
export function createProgramMetrics(version: string): ProgramMetrics {
  const registry = new Registry();
  const ofWholeProcess = watchProcess();
  const registers = [registry];
  const named = ({ name, help, labels = [] }: MetricOptions) => ({ name, help, labelNames: [...labels], registers });
  new Gauge(named({ name: "decnet_build_info", help: "1, with the version.", labels: ["version"] })).set({ version }, 1);
  const calls = new Histogram(
    named({ name: "decnet_rpc_duration_seconds", help: "Duration of calls that were served.", labels: ["method", "code"] }),
  );
  let making: Promise<string> | undefined;
  return {
    interceptor: (next) => async (request) => {
      const end = calls.startTimer({ method: `${request.service.typeName}/${request.method.name}` });
      try {
        const response = await next(request);
        end({ code: "OK" });
        return response;
      } catch (error) {
        end({ code: Code[ConnectError.from(error).code] ?? "Unknown" });
        throw error;
      }
    },
    counter(options) {
      const counter = new Counter(named(options));
      return (labels = {}, count = 1) => counter.inc(labels, count);
    },
    duration({ buckets, ...options }) {
      const histogram = new Histogram({ ...named(options), ...(buckets === undefined ? {} : { buckets: [...buckets] }) });
      return (ms, labels = {}) => histogram.observe(labels, ms / 1000);
    },
    gauge(options, collect) {
      new Gauge({
        ...named(options),
        async collect() {
          this.reset();
          const samples = await Promise.resolve()
            .then(collect)
            .catch(() => []);
          if (samples.length === 0 && (options.labels ?? []).length === 0) return this.set(Number.NaN);
          for (const { labels, value } of bounded(samples)) this.set(labels, value);
        },
      });
    },
    text() {
      making ??= Promise.all([ofWholeProcess.metrics(), registry.metrics()])
        .then((texts) => texts.join(""))
        .finally(() => (making = undefined));
      return making;
    },
  };
}

/** The rest in one series: names of hosts are made by people, and there is no telling how many there are. */
function bounded(samples: readonly Sample[]): readonly Sample[] {
  if (samples.length <= mostSeries) return samples;
  const rest = samples.slice(mostSeries);
  const labels = Object.fromEntries(Object.keys(rest[0]?.labels ?? {}).map((label) => [label, allOthers]));
  return [...samples.slice(0, mostSeries), { labels, value: rest.reduce((sum, { value }) => sum + value, 0) }];
}
