import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport } from "@connectrpc/connect-node";
import { Health } from "@decnet/contract/gen/grpc/health/v1/health_pb";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openSocketSession, type SocketSession } from "./socket-session.ts";

let listener: net.Server;
let dialled: net.Socket;
let accepted: net.Socket;
let session: SocketSession;
let hold: (() => void) | undefined;

/** The side that dialled serves; the one that accepted calls. */
beforeEach(async () => {
  listener = net.createServer();
  await once(listener.listen(0, "127.0.0.1"), "listening");
  const taken = once(listener, "connection") as Promise<[net.Socket]>;
  dialled = net.connect((listener.address() as net.AddressInfo).port, "127.0.0.1").on("error", () => undefined);
  [accepted] = await taken;
  const routes = connectNodeAdapter({
    routes: (router) =>
      router.service(Health, {
        check: async ({ service }) => {
          if (service === "slow")
            await new Promise<void>((resolve) => {
              hold = resolve;
            });
          return { status: 1 };
        },
      }),
  });
  http2.createServer(routes).emit("connection", dialled);
  session = openSocketSession(accepted, "http://other");
});
afterEach(() => {
  session.close();
  hold?.();
  hold = undefined;
  dialled.destroy();
  listener.close();
});

const health = () => createClient(Health, createGrpcTransport({ baseUrl: "http://other", sessionManager: session.manager }));
const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error).code,
  );

it("calls the side that opened the connection, and pings it", async () => {
  expect((await health().check({})).status).toBe(1);
  expect(await session.answers(1_000)).toBe(true);
});

it("ends open calls with the connection, and refuses later ones", async () => {
  const open = codeOf(health().check({ service: "slow" }));
  while (hold === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
  session.close();
  expect(await open).toBe(Code.Canceled);
  expect(await codeOf(health().check({}))).toBe(Code.Unavailable);
  expect(await session.answers(1_000)).toBe(false);
  expect(accepted.destroyed).toBe(true);
});

it("is over when the other side hangs up", async () => {
  const open = codeOf(health().check({ service: "slow" }));
  while (hold === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
  const over = once(accepted, "close");
  dialled.destroy();
  await over;
  expect([Code.Canceled, Code.Unavailable, Code.Aborted]).toContain(await open);
  expect(await codeOf(health().check({}))).toBe(Code.Unavailable);
});

it("says that a side that reads no more does not answer", async () => {
  await health().check({});
  dialled.removeAllListeners("data").pause();
  (dialled as net.Socket & { _handle: { readStop(): void } })._handle.readStop();
  expect(await session.answers(50)).toBe(false);
});
