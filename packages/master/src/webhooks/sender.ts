import { AppError } from "@decnet/common/errors/app-error";
import type { Logger } from "@decnet/common/logging/logger";
import { createBell } from "@decnet/common/runtime/signal-bell";
import { topicMatcher } from "@decnet/contract/topics";
import type { StoredEvent } from "../model/events.ts";
import {
  afterDelivery,
  afterFailure,
  afterStop,
  type Delivery,
  type Webhook,
  type WebhookPolicy,
  type WebhookProgress,
} from "../model/webhook.ts";
import type { EventLog } from "../store/outbox.ts";
import type { WebhookStore } from "../store/webhooks.ts";
import type { AddressRules } from "./address-rules.ts";
import { bodyOf } from "./message.ts";
import { createPoster, type Poster } from "./post.ts";
import { signedHeaders } from "./signature.ts";

export interface SenderOptions {
  readonly store: Pick<WebhookStore, "note" | "secretOf">;
  readonly events: Pick<EventLog, "follow">;
  readonly rules: AddressRules;
  readonly policy: WebhookPolicy;
  /** Tells a run of a master from every other one. */
  readonly instance: string;
  readonly version: string;
  readonly log: Logger;
  readonly onDelivery: (result: Delivery["kind"]) => void;
}

/** How long nothing has to come before it is stored that all before matched nothing. */
const quietMs = 5_000;
/** Also stored after so many events that matched nothing. */
const mostSkipped = 1_000;
const lostSecret = "its secret was sealed with a key that is lost; remove it and add it again";

/**
 * Sends to one webhook, event after event, each until it is delivered; until aborted, stopped, or somebody else's. What was
 * sent is remembered after the receiver took it: nothing is lost, and after a crash the last one may come twice, with its id.
 */
export async function sendTo(webhook: Webhook, options: SenderOptions, signal: AbortSignal): Promise<void> {
  const { store, events, rules, instance } = options;
  const poster = createPoster(rules);
  let progress: WebhookProgress = webhook;
  let skipped = 0;
  const note = async (next: WebhookProgress): Promise<boolean> => {
    progress = next;
    return (await store.note(instance, webhook, next)) && next.isActive;
  };
  try {
    const secret = secretOf(webhook, store);
    if (secret === undefined) return void (await stop(lostSecret));
    const isWanted = topicMatcher(webhook.patterns);
    let position = webhook.position;
    for await (const event of events.follow(position, quietMs, signal)) {
      if (event !== undefined && isWanted(event.topic)) {
        const next = await deliver(event, { ...options, webhook, secret, poster, note, signal }, progress);
        if (next === undefined) return;
        progress = next;
        position = event.position;
        skipped = 0;
        continue;
      }
      position = event?.position ?? position;
      skipped += 1;
      const isTime = event === undefined || skipped >= mostSkipped;
      if (!isTime || position === progress.position) continue;
      skipped = 0;
      if (!(await note({ ...progress, position }))) return;
    }
  } catch (error) {
    if (!(error instanceof AppError) || error.reason !== "CURSOR_EXPIRED") throw error;
    await stop(`events were removed before they could be sent: ${error.message}`);
  } finally {
    poster.close();
  }

  async function stop(message: string): Promise<void> {
    options.log.error("a webhook was stopped", { webhook: webhook.name, why: message });
    await store.note(instance, webhook, afterStop(progress, message));
  }
}

function secretOf(webhook: Webhook, store: Pick<WebhookStore, "secretOf">): string | undefined {
  try {
    return store.secretOf(webhook);
  } catch {
    return undefined;
  }
}

interface Delivering extends SenderOptions {
  readonly webhook: Webhook;
  readonly secret: string;
  readonly poster: Poster;
  /** False: it is over. */
  readonly note: (progress: WebhookProgress) => Promise<boolean>;
  readonly signal: AbortSignal;
}

/** Undefined: it was not delivered, and will not be by us. */
async function deliver(
  event: StoredEvent,
  { webhook, secret, poster, note, signal, policy, version, log, onDelivery }: Delivering,
  before: WebhookProgress,
): Promise<WebhookProgress | undefined> {
  const body = bodyOf(event);
  let progress = before;
  for (;;) {
    const waitMs = (progress.nextAttemptAt?.getTime() ?? 0) - Date.now();
    if (waitMs > 0) await createBell().wait(waitMs, signal);
    if (signal.aborted) return undefined;
    const headers = { ...signedHeaders(secret, event.eventId, new Date(), body), "user-agent": `decnet-swarm/${version}` };
    const outcome = await poster.post(webhook.url, body, headers, signal);
    // What was cut off by ourselves says nothing about the receiver.
    if (signal.aborted && outcome.kind === "failed") return undefined;
    onDelivery(outcome.kind);
    const now = new Date();
    if (outcome.kind === "delivered") {
      if (progress.failures > 0) log.info("a webhook takes events again", { webhook: webhook.name });
      progress = afterDelivery(progress, event.position, now);
      return (await note(progress)) ? progress : undefined;
    }
    if (progress.failures === 0) log.warn("a webhook fails", { webhook: webhook.name, why: outcome.message });
    progress = afterFailure(progress, outcome, { policy, now, random: Math.random });
    if (!progress.isActive) log.error("a webhook was stopped", { webhook: webhook.name, why: progress.message });
    if (!(await note(progress))) return undefined;
  }
}
