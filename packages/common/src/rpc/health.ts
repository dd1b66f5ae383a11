import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@decnet/contract/gen/grpc/health/v1/health_pb";
import { createBell } from "../runtime/signal-bell.ts";

/** The standard health service. The empty name stands for the whole server. */
export function registerHealth(
  router: ConnectRouter,
  services: readonly string[],
  isServing: () => boolean,
  stopping: AbortSignal,
): void {
  const statusOf = (service: string) =>
    service === "" || services.includes(service) ? (isServing() ? Status.SERVING : Status.NOT_SERVING) : undefined;
  router.service(Health, {
    check({ service }) {
      const status = statusOf(service);
      if (status === undefined) throw new ConnectError(`unknown service ${service}`, Code.NotFound);
      return { status };
    },
    async *watch({ service }, context) {
      const bell = createBell();
      const signal = AbortSignal.any([context.signal, stopping]);
      let last: Status | undefined;
      while (!signal.aborted) {
        const status = statusOf(service) ?? Status.SERVICE_UNKNOWN;
        if (status !== last) yield { status };
        last = status;
        await bell.wait(1_000, signal);
      }
    },
    list: () => ({
      statuses: Object.fromEntries(
        ["", ...services].map((service) => [service, { status: statusOf(service) ?? Status.UNKNOWN }]),
      ),
    }),
  });
}
