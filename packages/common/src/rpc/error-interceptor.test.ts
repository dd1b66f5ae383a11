import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createContextValues, createRouterTransport } from "@connectrpc/connect";
import { Health } from "@decnet/contract/gen/grpc/health/v1/health_pb";
import { expect, it } from "vitest";
import { AppError } from "../errors/app-error.ts";
import type { Logger } from "../logging/logger.ts";
import { createErrorInterceptor } from "./error-interceptor.ts";
import { fromConnectError } from "./errors.ts";

const failing = (error: unknown, lines: unknown[] = []) => {
  const take = (message: string, fields?: unknown) => void lines.push(message, fields);
  const log: Logger = { isDebug: true, debug: take, info: take, warn: take, error: take, child: () => log };
  const transport = createRouterTransport(
    (router) =>
      router.service(Health, {
        check() {
          throw error;
        },
        watch: () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) }),
      }),
    { router: { interceptors: [createErrorInterceptor(log)] } },
  );
  return createClient(Health, transport);
};
const caught = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error),
  );

it("a defect leaves as a correlation id alone, and its cause goes to the log under that id, once", async () => {
  const lines: unknown[] = [];
  const failure = await caught(failing(new Error("password=hunter2"), lines).check({}));
  expect(failure?.code).toBe(Code.Internal);
  expect(fromConnectError(failure).reason).toBe("INTERNAL");
  const id = fromConnectError(failure).metadata["correlation_id"] ?? "";
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  expect(JSON.stringify([failure?.rawMessage, failure?.details])).not.toContain("hunter2");
  expect(lines.length).toBe(2);
  expect(lines[1]).toMatchObject({ correlationId: id, err: new Error("password=hunter2") });
});

it("a defect of a stream leaves in the same way", async () => {
  const client = failing(new Error("password=hunter2"));
  const read = async () => {
    for await (const _ of client.watch({})) throw new Error("no message was sent");
  };
  const failure = await caught(read());
  expect(fromConnectError(failure).reason).toBe("INTERNAL");
  expect(failure?.rawMessage).not.toContain("hunter2");
});

it("an expected failure keeps its reason, its facts and its next steps", async () => {
  const error = new AppError("REVISION_CONFLICT", "moved", { metadata: { decky: "web-01", expected: "1", actual: "2" } });
  const failure = fromConnectError(await caught(failing(error).check({})));
  expect(failure).toMatchObject({ reason: "REVISION_CONFLICT", message: "moved", metadata: { expected: "1", actual: "2" } });
  expect(failure.next.join()).toContain("decnet decky revisions web-01");
});

it("a caller that goes away, in whatever way, is not a defect", async () => {
  const lines: unknown[] = [];
  const take = (message: string, fields?: unknown) => void lines.push(message, fields);
  const log: Logger = { isDebug: true, debug: take, info: take, warn: take, error: take, child: () => log };
  const leaving = new AbortController();
  const gone = new ConnectError("http/2 stream closed with error code INTERNAL_ERROR (0x2)", Code.Internal);
  leaving.abort(gone);
  const call = createErrorInterceptor(log)(() => Promise.reject(gone))({
    ...{ stream: false, service: Health, method: Health.method.check, requestMethod: "POST", url: "", header: new Headers() },
    ...{ signal: leaving.signal, contextValues: createContextValues(), message: create(Health.method.check.input) },
  });
  await expect(call).rejects.toBeInstanceOf(ConnectError);
  expect(lines).toEqual([]);
});
