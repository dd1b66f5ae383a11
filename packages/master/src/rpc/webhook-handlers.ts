import { randomUUID } from "node:crypto";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { AppError, type FieldViolation } from "@decnet/common/errors/app-error";
import { type WebhookService, WebhookState } from "@decnet/contract/gen/decnet/v1/webhook_pb";
import { isTopicPattern } from "@decnet/contract/topics";
import type { Webhook } from "../model/webhook.ts";
import { isWebhookSecret, makeWebhookSecret } from "../webhooks/signature.ts";
import { tryWebhook } from "../webhooks/try-webhook.ts";
import type { MasterParts } from "./parts.ts";
import { callerOf, invalid } from "./requests.ts";

const longestUrl = 2_048;
const mostPatterns = 100;
const namePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export function createWebhookHandlers({
  store: { webhooks, events },
  webhookRules: rules,
  version,
  stopping,
}: MasterParts): ServiceImpl<typeof WebhookService> {
  const findUrlProblem = (url: string): string | undefined => {
    if (url.length > longestUrl) return `has at most ${longestUrl} characters`;
    if (!URL.canParse(url)) return "is a URL such as https://hooks.example.com/decnet";
    return rules.refuse(new URL(url));
  };
  return {
    async addWebhook({ name, url, patterns, secret }, context) {
      const problems: FieldViolation[] = [];
      const problem = (field: string, description: string) => problems.push({ field, description });
      if (!namePattern.test(name)) problem("name", "lower-case letters, digits and inner hyphens, 1 to 63 characters");
      const urlProblem = findUrlProblem(url);
      if (urlProblem !== undefined) problem("url", urlProblem);
      if (patterns.length > mostPatterns || !patterns.every(isTopicPattern))
        problem("patterns", "segments separated by dots; `*` is one segment, a last `>` is the rest");
      if (secret !== "" && !isWebhookSecret(secret)) problem("secret", "whsec_ and 24 to 64 bytes in base64");
      if (problems.length > 0) throw invalid(problems);
      const position = await events.head();
      const used = secret === "" ? makeWebhookSecret() : secret;
      const createdBy = callerOf(context).name;
      const added = await webhooks.add({ id: randomUUID(), name, url, patterns, position, createdBy }, used);
      return { webhook: toWebhook(added), secret: used };
    },
    listWebhooks: async () => ({ webhooks: (await webhooks.list()).map(toWebhook) }),
    removeWebhook: async ({ name }) => ({ webhook: toWebhook(await webhooks.remove(name)) }),
    async testWebhook({ name }, context) {
      const webhook = await webhooks.get(name);
      const secret = openSecret(webhook);
      const signal = AbortSignal.any([context.signal, stopping]);
      const outcome = await tryWebhook({ ...webhook, secret }, { rules, version, signal });
      const message = outcome.kind === "failed" ? outcome.message : "";
      return { delivered: outcome.kind === "delivered", status: outcome.status, message, tookMs: outcome.tookMs };
    },
    async resumeWebhook({ name, fromNow }) {
      const webhook = await webhooks.get(name);
      // Says so when what comes next was removed meanwhile.
      const position = fromNow ? await events.head() : await events.positionOf(webhook.position);
      return { webhook: toWebhook(await webhooks.resume(name, position)) };
    },
  };

  function openSecret(webhook: Webhook): string {
    try {
      return webhooks.secretOf(webhook);
    } catch (cause) {
      throw new AppError("KEY_FILE_UNUSABLE", "the webhook's secret was sealed with a key that is lost: add it again", { cause });
    }
  }
}

function toWebhook(row: Webhook) {
  const time = (key: string, at: Date | null) => (at === null ? {} : { [key]: timestampFromDate(at) });
  return {
    name: row.name,
    url: row.url,
    patterns: [...row.patterns],
    state: !row.isActive ? WebhookState.STOPPED : row.failures > 0 ? WebhookState.FAILING : WebhookState.ACTIVE,
    message: row.message,
    cursor: row.position,
    createdBy: row.createdBy,
    failures: row.failures,
    ...time("createdAt", row.createdAt),
    ...time("lastDeliveryAt", row.lastDeliveryAt),
    ...time("failingSince", row.failingSince),
    ...time("nextAttemptAt", row.nextAttemptAt),
  };
}
