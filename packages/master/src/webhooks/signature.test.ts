import { describe, expect, it } from "vitest";
import { isWebhookSecret, makeWebhookSecret, signedHeaders } from "./signature.ts";

describe("a webhook's signature", () => {
  // The example of the specification, https://github.com/standard-webhooks/standard-webhooks, and its libraries' tests.
  it("is the one of Standard Webhooks", () => {
    const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const headers = signedHeaders(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", new Date(1_614_265_330_000), '{"test": 2432232314}');
    expect(headers).toEqual({
      "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    });
  });

  it("needs a secret of 24 to 64 bytes", () => {
    expect(isWebhookSecret(makeWebhookSecret())).toBe(true);
    const of = (bytes: number) => `whsec_${Buffer.alloc(bytes, 7).toString("base64")}`;
    expect([of(23), of(65), "", "whsec_", of(32).slice(6), `${of(32)} `].filter(isWebhookSecret)).toEqual([]);
  });
});
