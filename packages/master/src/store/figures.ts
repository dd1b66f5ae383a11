import type { Database } from "./database.ts";

/** What there is of everything, counted. */
export interface Figures {
  readonly deckies: readonly { readonly host: string; readonly state: string; readonly count: number }[];
  /** Operations that have not ended, and how old the oldest of them is. */
  readonly open: readonly {
    readonly kind: string;
    readonly state: string;
    readonly count: number;
    readonly oldestSeconds: number;
  }[];
  /** Workers that are not decommissioned. */
  readonly hosts: readonly {
    readonly name: string;
    readonly isDraining: boolean;
    readonly wasSeen: boolean;
    readonly certificateSeconds: number;
  }[];
  /** How many are in which state, and how long the first of those fails that are tried again. */
  readonly webhooks: {
    readonly states: { readonly active: number; readonly failing: number; readonly stopped: number };
    readonly failingSeconds: number;
  };
  /** Events that are kept: the position of the newest, and how long ago the oldest happened. */
  readonly events: { readonly head: number; readonly oldestSeconds: number };
}

export interface FigureStore {
  /** One statement. */
  count(): Promise<Figures>;
}

export function createFigureStore(database: Pick<Database, "run">): FigureStore {
  return {
    async count() {
      const [row] = await database.run<{ figures: Figures }>(count, []);
      if (row === undefined) throw new Error("the figures have no row");
      return row.figures;
    },
  };
}

const listOf = (rows: string) => `(SELECT coalesce(json_agg(row_to_json(item)), '[]') FROM (${rows}) AS item)`;
const secondsSince = (time: string) => `greatest(0, extract(epoch FROM now() - ${time}))::float`;

const count = {
  name: "decnet-figures",
  text: `SELECT json_build_object(
    'deckies', ${listOf("SELECT host, state, count(*)::int AS count FROM deckies GROUP BY host, state ORDER BY host, state")},
    'open', ${listOf(`SELECT kind, state, count(*)::int AS count, ${secondsSince("min(created_at)")} AS "oldestSeconds"
      FROM operations WHERE state IN ('pending', 'running') GROUP BY kind, state`)},
    'hosts', ${listOf(`SELECT name, draining AS "isDraining", last_seen IS NOT NULL AS "wasSeen",
      extract(epoch FROM certificate_expires_at - now())::float AS "certificateSeconds"
      FROM hosts WHERE decommissioned_at IS NULL ORDER BY name`)},
    'webhooks', (SELECT json_build_object(
      'states', json_build_object('active', count(*) FILTER (WHERE active AND failures = 0),
        'failing', count(*) FILTER (WHERE active AND failures > 0), 'stopped', count(*) FILTER (WHERE NOT active)),
      'failingSeconds', coalesce(${secondsSince("min(failing_since) FILTER (WHERE active)")}, 0)) FROM webhooks),
    'events', (SELECT json_build_object('head', coalesce((SELECT max(position) FROM outbox), 0), 'oldestSeconds',
      coalesce((SELECT ${secondsSince("occurred_at")} FROM outbox ORDER BY position LIMIT 1), 0)))
  ) AS figures`,
};
