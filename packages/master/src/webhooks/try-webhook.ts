import { randomUUID } from "node:crypto";
import type { Delivery } from "../model/webhook.ts";
import type { AddressRules } from "./address-rules.ts";
import { bodyOf } from "./message.ts";
import { createPoster } from "./post.ts";
import { signedHeaders } from "./signature.ts";

export interface Receiver {
  readonly name: string;
  readonly url: string;
  readonly secret: string;
}

/** The topic of what is sent for a try. No event of the bus has it. */
const topic = "webhook.test";

/** Sends one message that is no event, whatever waits, and says what came of it. */
export async function tryWebhook(
  { name, url, secret }: Receiver,
  { rules, version, signal }: { readonly rules: AddressRules; readonly version: string; readonly signal: AbortSignal },
): Promise<Delivery & { readonly tookMs: number }> {
  const at = new Date();
  const event = { position: "0", eventId: randomUUID(), topic, occurredAt: at, payload: { webhook: name } };
  const body = bodyOf(event);
  const poster = createPoster(rules);
  const startedAt = performance.now();
  try {
    const headers = { ...signedHeaders(secret, event.eventId, at, body), "user-agent": `decnet-swarm/${version}` };
    const delivery = await poster.post(url, body, headers, signal);
    return { ...delivery, tookMs: Math.round(performance.now() - startedAt) };
  } finally {
    poster.close();
  }
}
