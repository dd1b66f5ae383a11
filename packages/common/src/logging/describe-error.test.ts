import { describe, expect, it } from "vitest";
import { AppError } from "../errors/app-error.ts";
import { describeError } from "./describe-error.ts";

const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), { code: "ECONNREFUSED" });
const away = new AppError("ENGINE_UNAVAILABLE", "the Docker engine does not answer", { cause: refused });

describe("an error in the log", () => {
  it("has a reason, a message and its cause when it was to be expected", () => {
    expect(describeError(away, false)).toEqual({
      code: "ENGINE_UNAVAILABLE",
      message: "the Docker engine does not answer",
      cause: { code: "ECONNREFUSED", message: "connect ECONNREFUSED 127.0.0.1:1" },
    });
  });

  it("has a stack when it is a defect, or when stacks are wanted", () => {
    expect(describeError(new TypeError("no function"), false)).toEqual({
      type: "TypeError",
      message: "no function",
      stack: expect.stringContaining("describe-error.test.ts"),
    });
    expect(describeError(refused, true)).toMatchObject({ code: "ECONNREFUSED", stack: expect.any(String) });
  });

  it.each([
    ["a full disk", "ENOSPC", false],
    ["a database with a full disk", "53100", false],
    ["a wrong statement", "42601", true],
    ["a wrong argument of Node's", "ERR_INVALID_ARG_TYPE", true],
  ])("%s: %s, with a stack: %s", (_, code, hasStack) => {
    const described = describeError(Object.assign(new Error("no"), { code }), false);
    expect([described, typeof described === "object" && described !== null && "stack" in described]).toEqual([
      expect.objectContaining({ code, message: "no" }),
      hasStack,
    ]);
  });

  it("is shown as it is when it is no error", () => expect(describeError("why", false)).toBe("why"));

  it("does not go on for ever when it is its own cause", () => {
    const error = new Error("round");
    error.cause = error;
    expect(JSON.stringify(describeError(error, false)).match(/round/g)?.length).toBeLessThan(20);
  });
});
