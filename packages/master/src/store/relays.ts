import type { Database, Statement } from "./database.ts";

/** An event as it is sent on: what is in it is not looked at. */
export interface OutboxMessage {
  readonly position: string;
  readonly eventId: string;
  readonly topic: string;
  readonly key: string;
  readonly version: number;
  /** JSON. */
  readonly data: string;
  /** RFC 3339. */
  readonly occurredAt: string;
}

/** Who sends the events of this database on. One at a time, by the database's clock, which all masters share. */
export interface RelayClaim {
  readonly sink: string;
  /** Tells a data folder from every other one: its next master takes over at once. */
  readonly holder: string;
  /** Tells a run of a master from every other one. */
  readonly instance: string;
  /** Where it runs, for people. */
  readonly place: string;
}

/** Why nothing is sent. */
export interface RelayTrouble {
  readonly cause: string;
  readonly next: string;
  readonly since: string;
}

export interface RelayStatus {
  /** Where the master runs that sends; empty when none does. */
  readonly place: string;
  readonly position: string;
  /** Events that wait; no more than `mostCounted` are counted. */
  readonly waiting: number;
  readonly oldestWaiting: Date | null;
  readonly sentAt: Date | null;
  /** Events that were removed before they were sent, because there were more than are kept. */
  readonly dropped: number;
  readonly droppedAt: Date | null;
  readonly trouble: RelayTrouble | null;
}

export interface RelayStore {
  /** Takes the place of the one that sends, or keeps it; undefined while somebody else has it. Returns up to where was sent. */
  take(claim: RelayClaim): Promise<string | undefined>;
  /** The next events, so many and of so many bytes at most, yet one at least. */
  read(after: string, rows: number, bytes: number): Promise<OutboxMessage[]>;
  /** What was sent is remembered, and trouble is over. False: somebody else sends by now. */
  advance(claim: RelayClaim, position: string): Promise<boolean>;
  /** Says what keeps events from being sent. */
  noteTrouble(claim: RelayClaim, trouble: RelayTrouble): Promise<void>;
  /** Lets the next one take over at once. */
  release(claim: RelayClaim): Promise<void>;
  /** Undefined: nobody ever sent. */
  status(sink: string): Promise<RelayStatus | undefined>;
}

/** Whoever was not heard of for so long does not send any more. */
export const relayClaimMs = 10_000;
export const mostCounted = 100_000;

const taken: Statement = {
  name: "decnet-relay-taken",
  text: `INSERT INTO relays AS held (sink, position, holder, instance, place, seen_at, dropped)
    VALUES ($1, coalesce((SELECT position FROM forgotten WHERE subject = 'events'), 0), $2, $3, $4, clock_timestamp(), 0)
    ON CONFLICT (sink) DO UPDATE
      SET holder = EXCLUDED.holder, instance = EXCLUDED.instance, place = EXCLUDED.place, seen_at = EXCLUDED.seen_at
    WHERE held.instance IN ('', EXCLUDED.instance) OR held.holder = EXCLUDED.holder
      OR abs(extract(epoch FROM clock_timestamp() - held.seen_at)) * 1000 > ${relayClaimMs}
    RETURNING position::text`,
};

/** The window sums in front of the limit: what does not fit any more is not even made into text for us. */
const next: Statement = {
  name: "decnet-relay-next",
  text: `SELECT position::text, event_id AS "eventId", topic, key, version, data,
      to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "occurredAt"
    FROM (
      SELECT found.*, sum(length(data)) OVER (ORDER BY position) - length(data) AS before FROM (
        SELECT position, event_id, topic, key, version, payload::text AS data, occurred_at FROM outbox
        WHERE position > $1 ORDER BY position LIMIT $2
      ) AS found
    ) AS sized WHERE before < $3 ORDER BY sized.position`,
};

const advanced: Statement = {
  name: "decnet-relay-advanced",
  text: `UPDATE relays SET position = greatest(position, $3), trouble = NULL,
      sent_at = clock_timestamp(), seen_at = clock_timestamp()
    WHERE sink = $1 AND instance = $2 RETURNING sink`,
};

const troubled: Statement = {
  name: "decnet-relay-troubled",
  text: "UPDATE relays SET trouble = $3 WHERE sink = $1 AND instance = $2",
};

const released: Statement = {
  name: "decnet-relay-released",
  text: "UPDATE relays SET instance = '', place = '' WHERE sink = $1 AND instance = $2",
};

const status: Statement = {
  name: "decnet-relay-status",
  text: `SELECT place, position::text, sent_at AS "sentAt", dropped::float8 AS dropped, dropped_at AS "droppedAt", trouble,
      (SELECT count(*)::int FROM (SELECT FROM outbox WHERE outbox.position > relays.position LIMIT ${mostCounted}) AS left_over)
        AS waiting,
      (SELECT occurred_at FROM outbox WHERE outbox.position > relays.position ORDER BY outbox.position LIMIT 1)
        AS "oldestWaiting"
    FROM relays WHERE sink = $1`,
};

export function createRelayStore(database: Database): RelayStore {
  return {
    async take({ sink, holder, instance, place }) {
      const [row] = await database.run<{ position: string }>(taken, [sink, holder, instance, place]);
      return row?.position;
    },
    read: (after, rows, bytes) => database.run<OutboxMessage>(next, [after, rows, bytes]),
    async advance({ sink, instance }, position) {
      const rows = await database.run(advanced, [sink, instance, position]);
      return rows.length > 0;
    },
    async noteTrouble({ sink, instance }, trouble) {
      await database.run(troubled, [sink, instance, JSON.stringify(trouble)]);
    },
    release: async ({ sink, instance }) => void (await database.run(released, [sink, instance])),
    async status(sink) {
      const [row] = await database.run<RelayStatus>(status, [sink]);
      return row;
    },
  };
}
