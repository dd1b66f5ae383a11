import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@decnet/contract/gen/grpc/health/v1/health_pb";

const lookMs = 1_000;
/** A request names one service. */
const readMaxBytes = 64 << 10;

/** The standard health service. The empty name stands for the whole server. */
export function registerHealth(
  router: ConnectRouter,
  services: readonly string[],
  isServing: () => boolean,
  stopping: AbortSignal,
): void {
  const statusOf = (service: string) =>
    service === "" || services.includes(service) ? (isServing() ? Status.SERVING : Status.NOT_SERVING) : undefined;
  const changes = watchChanges(isServing);
  router.service(
    Health,
    {
      check({ service }) {
        const status = statusOf(service);
        if (status === undefined) throw new ConnectError(`unknown service ${service}`, Code.NotFound);
        return { status };
      },
      async *watch({ service }, context) {
        const signal = AbortSignal.any([context.signal, stopping]);
        let last: Status | undefined;
        while (!signal.aborted) {
          const seen = isServing();
          const status = statusOf(service) ?? Status.SERVICE_UNKNOWN;
          if (status !== last) yield { status };
          last = status;
          await changes.next(seen, signal);
        }
      },
      list: () => ({
        statuses: Object.fromEntries(
          ["", ...services].map((service) => [service, { status: statusOf(service) ?? Status.UNKNOWN }]),
        ),
      }),
    },
    { readMaxBytes },
  );
}

/** One look for all that watch, however many they are; nobody looks while nobody watches. */
function watchChanges(isServing: () => boolean): { next(seen: boolean, signal: AbortSignal): Promise<void> } {
  const watchers = new Set<() => void>();
  let timer: NodeJS.Timeout | undefined;
  let last = isServing();
  const look = () => {
    const now = isServing();
    if (now === last) return;
    last = now;
    for (const wake of [...watchers]) wake();
  };
  return {
    next: (seen, signal) =>
      new Promise((resolve) => {
        const wake = () => {
          watchers.delete(wake);
          signal.removeEventListener("abort", wake);
          if (watchers.size === 0) clearInterval(timer);
          resolve();
        };
        if (signal.aborted || isServing() !== seen) return resolve();
        if (watchers.size === 0) {
          last = seen;
          timer = setInterval(look, lookMs);
        }
        watchers.add(wake);
        signal.addEventListener("abort", wake, { once: true });
      }),
  };
}
