import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type TestWebhookResponse, type Webhook, WebhookState } from "@decnet/contract/gen/decnet/v1/webhook_pb";
import { age, table, visible, word } from "./layout.ts";

/** Webhooks as people read them. Pure. */

export function formatWebhooks(webhooks: readonly Webhook[], now: number): string {
  if (webhooks.length === 0) return "no webhooks; add one: decnet webhook add NAME URL";
  const lines = webhooks.flatMap((each) => (each.message === "" ? [] : [`${each.name}: ${visible(each.message)}${next(each)}`]));
  const shown = table(
    ["NAME", "STATE", "PATTERNS", "LAST DELIVERY", "URL"],
    webhooks.map((each) => [
      each.name,
      word(WebhookState, each.state),
      each.patterns.map(visible).join(" ") || ">",
      each.lastDeliveryAt === undefined ? "never" : `${age(each.lastDeliveryAt, now)} ago`,
      visible(each.url),
    ]),
  );
  return lines.length === 0 ? shown : `${shown}\n\n${lines.join("\n")}`;
}

function next({ state, name, nextAttemptAt }: Webhook): string {
  if (state === WebhookState.STOPPED) return `; go on with it: decnet webhook resume ${name}`;
  return nextAttemptAt === undefined ? "" : `; tried again at ${timestampDate(nextAttemptAt).toISOString()}`;
}

export function formatTry(name: string, { delivered, status, message, tookMs }: TestWebhookResponse): string {
  return delivered
    ? `${name} took it: ${status} after ${tookMs} ms`
    : `${name} did not take it: ${visible(message)} (after ${tookMs} ms)`;
}
