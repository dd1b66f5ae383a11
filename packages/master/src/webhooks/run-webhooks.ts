import { repeatUntilAborted } from "@decnet/common/runtime/repeat";
import type { Webhook } from "../model/webhook.ts";
import type { WebhookStore } from "../store/webhooks.ts";
import { type SenderOptions, sendTo } from "./sender.ts";

export interface WebhooksOptions extends SenderOptions {
  readonly store: SenderOptions["store"] & Pick<WebhookStore, "claim" | "release">;
}

interface Task {
  readonly generation: number;
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** Until it is seen that one was added, removed or resumed, and that a master is gone which sent for one. */
const lookMs = 2_000;

/** Sends for the webhooks that no other master sends for, each by itself, until aborted. */
export async function runWebhooks(options: WebhooksOptions, signal: AbortSignal): Promise<void> {
  const { store, instance, log } = options;
  const tasks = new Map<string, Task>();

  const start = (webhook: Webhook) => {
    const abort = new AbortController();
    const done = sendTo(webhook, options, AbortSignal.any([signal, abort.signal]))
      .catch((error: unknown) => {
        if (!signal.aborted) log.warn("a webhook's sender is started again", { webhook: webhook.name, err: error });
      })
      .finally(() => {
        if (tasks.get(webhook.id)?.abort === abort) tasks.delete(webhook.id);
      });
    tasks.set(webhook.id, { generation: webhook.generation, abort, done });
  };
  const look = async () => {
    const own = new Map((await store.claim(instance)).map((webhook) => [webhook.id, webhook]));
    for (const [id, task] of tasks) if (own.get(id)?.generation !== task.generation) task.abort.abort();
    await Promise.all([...tasks.values()].filter(({ abort }) => abort.signal.aborted).map(({ done }) => done));
    if (signal.aborted) return;
    for (const webhook of own.values()) if (!tasks.has(webhook.id)) start(webhook);
  };

  await repeatUntilAborted(lookMs, signal, look, (error) => log.warn("webhooks were not looked at", { err: error }));
  await Promise.all([...tasks.values()].map(({ done }) => done));
  await store.release(instance).catch(() => undefined);
}
