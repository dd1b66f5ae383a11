import { AppError } from "@decnet/common/errors/app-error";
import type { Webhook, WebhookProgress } from "../model/webhook.ts";
import type { Database, Statement } from "./database.ts";
import { sqlStateOf } from "./database-errors.ts";
import type { SecretBox } from "./secret-box.ts";

export type NewWebhook = Pick<Webhook, "id" | "name" | "url" | "patterns" | "position" | "createdBy">;

/** Each webhook has one master at a time that sends for it, by the database's clock, which all masters share. */
export interface WebhookStore {
  /** Throws WEBHOOK_EXISTS, and WEBHOOK_LIMIT when there are too many. */
  add(webhook: NewWebhook, secret: string): Promise<Webhook>;
  list(): Promise<Webhook[]>;
  /** Throws WEBHOOK_NOT_FOUND. */
  get(name: string): Promise<Webhook>;
  remove(name: string): Promise<Webhook>;
  /** Goes on where it was, or at another position. */
  resume(name: string, position: string | undefined): Promise<Webhook>;
  /** Takes the active ones that nobody sends for, and keeps those that this instance has; returns all that it has now. */
  claim(instance: string): Promise<Webhook[]>;
  /** False: it was removed, resumed, or somebody else sends for it by now. */
  note(instance: string, webhook: Pick<Webhook, "id" | "generation">, progress: WebhookProgress): Promise<boolean>;
  /** Lets others take over at once. */
  release(instance: string): Promise<void>;
  /** What requests are signed with. Throws when another key sealed it. */
  secretOf(webhook: Pick<Webhook, "id" | "secret">): string;
}

/** More would be a bus: that is what Kafka is for. */
export const mostWebhooks = 50;
/** Whoever was not heard of for so long does not send any more. */
const heldMs = 10_000;

const columns = `id, name, url, patterns, secret, active AS "isActive", message, position::text, generation, failures,
  failing_since AS "failingSince", next_attempt_at AS "nextAttemptAt", last_delivery_at AS "lastDeliveryAt",
  created_at AS "createdAt", created_by AS "createdBy"`;

const statement = (name: string, text: string): Statement => ({ name: `decnet-webhook-${name}`, text });
const added = statement(
  "added",
  `INSERT INTO webhooks (id, name, url, patterns, secret, active, message, position, created_at, created_by)
    SELECT $1, $2, $3, $4, $5, true, '', $6, clock_timestamp(), $7
    WHERE (SELECT count(*) FROM webhooks) < ${mostWebhooks} RETURNING ${columns}`,
);
const listed = statement("listed", `SELECT ${columns} FROM webhooks ORDER BY name`);
const found = statement("found", `SELECT ${columns} FROM webhooks WHERE name = $1`);
const removed = statement("removed", `DELETE FROM webhooks WHERE name = $1 RETURNING ${columns}`);
const resumed = statement(
  "resumed",
  `UPDATE webhooks SET active = true, message = '', failures = 0, failing_since = NULL, next_attempt_at = NULL,
      generation = generation + 1, position = coalesce($2, position)
    WHERE name = $1 RETURNING ${columns}`,
);
const claimed = statement(
  "claimed",
  `UPDATE webhooks SET holder = $1, held_at = clock_timestamp()
    WHERE active AND (holder IN ('', $1) OR abs(extract(epoch FROM clock_timestamp() - held_at)) * 1000 > ${heldMs})
    RETURNING ${columns}`,
);
const noted = statement(
  "noted",
  `UPDATE webhooks SET held_at = clock_timestamp(), active = $4, message = $5, position = $6, failures = $7,
      failing_since = $8, next_attempt_at = $9, last_delivery_at = $10
    WHERE id = $2 AND holder = $1 AND generation = $3 RETURNING id`,
);
const released = statement("released", "UPDATE webhooks SET holder = '' WHERE holder = $1");

export function createWebhookStore(database: Pick<Database, "run">, box: SecretBox): WebhookStore {
  const place = (id: string) => `webhook/${id}`;
  const one = async (sql: Statement, name: string, ...more: readonly unknown[]): Promise<Webhook> => {
    const [row] = await database.run<Webhook>(sql, [name, ...more]);
    if (row !== undefined) return row;
    throw new AppError("WEBHOOK_NOT_FOUND", `there is no webhook ${JSON.stringify(name)}`, {
      resource: { type: "webhook", name },
    });
  };
  return {
    async add({ id, name, url, patterns, position, createdBy }, secret) {
      const values = [id, name, url, patterns, box.seal(secret, place(id)), position, createdBy];
      const rows = await database.run<Webhook>(added, values).catch((error: unknown) => {
        if (sqlStateOf(error) !== "23505") throw error;
        throw new AppError("WEBHOOK_EXISTS", `there is a webhook ${JSON.stringify(name)}`, { metadata: { webhook: name } });
      });
      const [row] = rows;
      if (row === undefined) throw new AppError("WEBHOOK_LIMIT", `there are ${mostWebhooks} webhooks, and may not be more`);
      return row;
    },
    list: () => database.run<Webhook>(listed, []),
    get: (name) => one(found, name),
    remove: (name) => one(removed, name),
    resume: (name, position) => one(resumed, name, position ?? null),
    claim: (instance) => database.run<Webhook>(claimed, [instance]),
    async note(instance, { id, generation }, progress) {
      const { isActive, message, position, failures, failingSince, nextAttemptAt, lastDeliveryAt } = progress;
      const values = [
        instance,
        id,
        generation,
        isActive,
        message,
        position,
        failures,
        failingSince,
        nextAttemptAt,
        lastDeliveryAt,
      ];
      return (await database.run(noted, values)).length > 0;
    },
    release: async (instance) => void (await database.run(released, [instance])),
    secretOf: ({ id, secret }) => box.open(secret, place(id)),
  };
}
