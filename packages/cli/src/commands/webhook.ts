import { toJson } from "@bufbuild/protobuf";
import {
  AddWebhookResponseSchema,
  ListWebhooksResponseSchema,
  RemoveWebhookResponseSchema,
  ResumeWebhookResponseSchema,
  TestWebhookResponseSchema,
} from "@decnet/contract/gen/decnet/v1/webhook_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { reading, show } from "../flags.ts";
import { formatDocument } from "../forms.ts";
import { printRaw, remark } from "../output.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";
import { formatTry, formatWebhooks } from "../text/webhooks.ts";

/** The receiver did not take what was sent to try it. */
const notDelivered = 7;

/** `decnet webhook …` */
export function registerWebhook(program: Command, cli: Cli): void {
  const webhook = program.command("webhook").description("Events, sent on to addresses by HTTP.");
  registerAdd(webhook, cli);
  reading(webhook.command("list").description("All webhooks, and what is wrong with them."), {
    examples: ["webhook list", "webhook list --json", "webhook list -o name"],
    rpc: "WebhookService/ListWebhooks",
  }).action((flags: ReadFlags) =>
    cli.withConnection(async ({ webhooks }) => {
      const found = await webhooks.listWebhooks({});
      show(flags, ListWebhooksResponseSchema, found, () => formatWebhooks(found.webhooks, Date.now()));
      return undefined;
    }),
  );
  reading(webhook.command("test <name>").description("Send one message that is no event, now, and say what came of it."), {
    examples: ["webhook test siem", "webhook test siem --json", "webhook test siem && echo it works"],
    rpc: "WebhookService/TestWebhook",
    body: '{"name":"siem"}',
  }).action((name: string, flags: ReadFlags) =>
    cli.withConnection(async ({ webhooks }) => {
      const tried = await webhooks.testWebhook({ name });
      show(flags, TestWebhookResponseSchema, tried, () => formatTry(name, tried));
      return tried.delivered ? undefined : notDelivered;
    }),
  );
  reading(
    webhook
      .command("resume <name>")
      .description("Go on with one that was stopped, or that waits for its next attempt.")
      .option("--from-now", "leave out what happened meanwhile"),
    {
      examples: ["webhook resume siem", "webhook resume siem --from-now", "webhook resume siem --json"],
      rpc: "WebhookService/ResumeWebhook",
      body: '{"name":"siem"}',
    },
  ).action((name: string, flags: ReadFlags & { fromNow?: boolean }) =>
    cli.withConnection(async ({ webhooks }) => {
      const resumed = await webhooks.resumeWebhook({ name, fromNow: flags.fromNow === true });
      show(flags, ResumeWebhookResponseSchema, resumed, () => `${name} goes on`);
      return undefined;
    }),
  );
  reading(webhook.command("remove <name>").description("Send no more to it."), {
    examples: ["webhook remove siem", "webhook remove siem --json", "webhook remove siem && decnet webhook list"],
    rpc: "WebhookService/RemoveWebhook",
    body: '{"name":"siem"}',
  }).action((name: string, flags: ReadFlags) =>
    cli.withConnection(async ({ webhooks }) => {
      const removed = await webhooks.removeWebhook({ name });
      show(flags, RemoveWebhookResponseSchema, removed, () => `${name} is removed`);
      return undefined;
    }),
  );
}

function registerAdd(webhook: Command, cli: Cli): void {
  reading(
    webhook
      .command("add <name> <url> [patterns...]")
      .description("Send events from now on; the secret that they are signed with is shown this once, on stdout."),
    {
      examples: [
        "webhook add siem https://hooks.example.com/decnet",
        "webhook add pager https://hooks.example.com/x 'decky.*.state' 'host.>'",
        "webhook add siem https://hooks.example.com/decnet --json",
      ],
      rpc: "WebhookService/AddWebhook",
      body: '{"name":"siem","url":"https://hooks.example.com/decnet","patterns":["decky.>"]}',
    },
  ).action((name: string, url: string, patterns: string[], flags: ReadFlags) =>
    cli.withConnection(async ({ webhooks }) => {
      const form = formOf(flags);
      const added = await webhooks.addWebhook({ name, url, patterns });
      if (form === "table" || form === "wide" || form === "name") {
        printRaw(added.secret);
        remark(`${name} gets events from now on, signed with this; it is not shown again. Try it: decnet webhook test ${name}`);
      } else printRaw(formatDocument(form, toJson(AddWebhookResponseSchema, added)));
      return undefined;
    }),
  );
}
