import { createHmac, randomBytes } from "node:crypto";

/** Secrets and signatures of https://www.standardwebhooks.com, for which there are libraries to check them with. */

const prefix = "whsec_";
const [fewest, most] = [24, 64];

export function makeWebhookSecret(): string {
  return prefix + randomBytes(32).toString("base64");
}

export function isWebhookSecret(text: string): boolean {
  const key = keyOf(text);
  return key !== undefined && key.length >= fewest && key.length <= most;
}

/** Headers of a request: what makes it one of ours, of now, and this very one. */
export function signedHeaders(secret: string, id: string, at: Date, body: string): Record<string, string> {
  const timestamp = String(Math.floor(at.getTime() / 1_000));
  const key = keyOf(secret);
  if (key === undefined) throw new Error("this is no secret of a webhook");
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` };
}

/** Undefined when it is not written as such. */
function keyOf(secret: string): Buffer | undefined {
  const text = secret.slice(prefix.length);
  if (!secret.startsWith(prefix) || !/^[A-Za-z\d+/]+={0,2}$/.test(text)) return undefined;
  return Buffer.from(text, "base64");
}
