import { createClient } from "@connectrpc/connect";
import { Health } from "@decnet/contract/gen/grpc/health/v1/health_pb";
import { expect, it } from "vitest";
import { createClientTransport } from "./client.ts";
import { fromConnectError } from "./errors.ts";
import { startRpcServer } from "./server.ts";

it.each(["master", "agent"] as const)(
  "a call that runs when the server of the %s stops is told so, and of whom",
  async (program) => {
    let begun = () => undefined as unknown;
    const running = new Promise<unknown>((resolve) => {
      begun = () => resolve(undefined);
    });
    const server = await startRpcServer({
      program,
      host: "127.0.0.1",
      port: 0,
      routes: (router) =>
        router.service(Health, {
          check: (_, { signal }) =>
            new Promise((_resolve, reject) => {
              signal.addEventListener("abort", () => reject(signal.reason));
              begun();
            }),
        }),
      interceptors: [],
      fallback: (_, response) => response.writeHead(404).end(),
      graceMs: 50,
    });
    const { transport, close } = createClientTransport({ address: `http://127.0.0.1:${server.port}`, token: "" });
    try {
      const failure = createClient(Health, transport)
        .check({})
        .then(() => undefined, fromConnectError);
      await running;
      await server.close();
      expect(await failure).toMatchObject({ reason: "SHUTTING_DOWN", message: `the ${program} is shutting down` });
    } finally {
      close();
    }
  },
);
