import { createContextValues, type Interceptor } from "@connectrpc/connect";
import { expect, it, vi } from "vitest";
import { AppError } from "../errors/app-error.ts";
import type { Logger } from "../logging/logger.ts";
import { toConnectError } from "./errors.ts";
import { createRefusalLog } from "./log-refusals.ts";

type Request = Parameters<ReturnType<Interceptor>>[0];

it("of one caller, so many lines and then one a second, however many names he makes up; of another his own", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    const lines: Record<string, unknown>[] = [];
    const log: Pick<Logger, "info"> = { info: (_, fields = {}) => void lines.push(fields) };
    let caller = "viewer";
    let name = 0;
    const logged = createRefusalLog(
      log,
      () => caller,
    )(async () => {
      name += 1;
      throw toConnectError(new AppError("DECKY_NOT_FOUND", `there is no decky x${name}`));
    });
    const request = { service: { typeName: "s" }, method: { name: "m" }, contextValues: createContextValues() };
    const call = () => logged(request as unknown as Request).catch(() => undefined);
    for (let count = 0; count < 500; count += 1) await call();
    expect(lines.length).toBe(100);
    vi.advanceTimersByTime(1_000);
    await call();
    expect(lines.at(-1)).toMatchObject({ caller: "viewer", message: "there is no decky x501", unsaid: 400 });
    caller = "operator";
    await call();
    expect(lines.at(-1)).toMatchObject({ caller: "operator" });
    expect(lines.at(-1)).not.toHaveProperty("unsaid");
  } finally {
    vi.useRealTimers();
  }
});
