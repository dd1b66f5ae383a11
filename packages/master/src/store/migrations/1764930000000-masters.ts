import type { MigrationInterface, QueryRunner } from "typeorm";

/** Says to the other masters what concerns them, when there are any: word by word, with the speaker's own name before them. */
const say = [
  `CREATE FUNCTION decnet_has_company() RETURNS boolean LANGUAGE sql STABLE AS $$
     SELECT count(*) > 1 FROM masters WHERE seen_at > clock_timestamp() - interval '1 minute'
   $$`,
  `CREATE FUNCTION decnet_say(words text) RETURNS void LANGUAGE sql AS $$
     SELECT pg_notify('decnet', replace(current_setting('application_name'), ' ', '/') || ' ' || words)
   $$`,
  // A host that nobody has needs no word: whoever gets it looks for what waits for it.
  `CREATE FUNCTION decnet_is_held_elsewhere(name text) RETURNS boolean LANGUAGE sql STABLE AS $$
     SELECT EXISTS (SELECT FROM host_leases WHERE host = name AND held
       AND position(instance::text IN current_setting('application_name')) = 0)
   $$`,
];

const heard = (name: string, table: string, event: "INSERT" | "UPDATE", body: string) => [
  `CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     IF EXISTS (SELECT FROM news) AND decnet_has_company() THEN
       ${body};
     END IF;
     RETURN NULL;
   END $$`,
  `CREATE TRIGGER ${name} AFTER ${event} ON ${table}
     REFERENCING ${event === "UPDATE" ? "OLD TABLE AS olds " : ""}NEW TABLE AS news
     FOR EACH STATEMENT EXECUTE FUNCTION ${name}()`,
];

const open = "('pending', 'running')";

const triggers = [
  // Of very many deckies only the hosts are named.
  ...heard(
    "decnet_opened",
    "operations",
    "INSERT",
    `PERFORM decnet_say('work ' || due.host || due.decky) FROM (
       SELECT DISTINCT host, CASE WHEN (SELECT count(*) FROM news) > 64 THEN '' ELSE ' ' || decky_id END AS decky
       FROM news WHERE state IN ${open} AND decky_id IS NOT NULL
     ) AS due WHERE decnet_is_held_elsewhere(due.host)`,
  ),
  ...heard(
    "decnet_changed",
    "operations",
    "UPDATE",
    `PERFORM decnet_say('ended ' || news.id) FROM news JOIN olds USING (id)
       WHERE olds.state IN ${open} AND news.state NOT IN ${open};
     PERFORM decnet_say('cancel ' || news.host || ' ' || news.decky_id || ' ' || news.id) FROM news JOIN olds USING (id)
       WHERE news.cancel_requested AND NOT olds.cancel_requested AND news.decky_id IS NOT NULL
         AND decnet_is_held_elsewhere(news.host)`,
  ),
  // What is to be removed from one host and runs on another is the affair of both.
  ...heard(
    "decnet_moved",
    "deckies",
    "UPDATE",
    `PERFORM decnet_say('work ' || concerned.host || ' ' || news.id) FROM news JOIN olds USING (id),
         LATERAL unnest(news.pending_removals || news.host) AS concerned (host)
       WHERE (news.pending_removals <> olds.pending_removals
           OR (news.pending_removals <> '{}' AND news.rendered_revision <> olds.rendered_revision))
         AND decnet_is_held_elsewhere(concerned.host)`,
  ),
  ...heard("decnet_told", "outbox", "INSERT", "PERFORM decnet_say('events')"),
  ...heard(
    "decnet_ended_host",
    "hosts",
    "UPDATE",
    `PERFORM decnet_say('gone ' || news.name || ' ' || news.id) FROM news JOIN olds USING (id)
       WHERE news.decommissioned_at IS NOT NULL AND olds.decommissioned_at IS NULL`,
  ),
  ...heard("decnet_leased", "host_leases", "INSERT", "PERFORM decnet_say('lease ' || host) FROM news"),
  ...heard(
    "decnet_released",
    "host_leases",
    "UPDATE",
    `PERFORM decnet_say('lease ' || news.host) FROM news JOIN olds USING (host)
       WHERE (news.held, news.instance) <> (olds.held, olds.instance)`,
  ),
];

const names = ["opened", "changed", "moved", "told", "ended_host", "leased", "released"];

/**
 * Several masters: which of them holds the connection of a host, counted up whenever another one gets it; where each is reached;
 * and what one does that concerns another is told by the transaction that does it.
 */
export class Masters1764930000000 implements MigrationInterface {
  readonly name = "Masters1764930000000";

  async up(runner: QueryRunner): Promise<void> {
    await runner.query("ALTER TABLE masters ADD COLUMN addresses text[] NOT NULL DEFAULT '{}'");
    await runner.query(`CREATE TABLE host_leases (
      host text CONSTRAINT host_leases_pkey PRIMARY KEY,
      epoch int NOT NULL,
      instance uuid NOT NULL,
      held boolean NOT NULL,
      agent text NOT NULL,
      address text NOT NULL,
      since timestamptz NOT NULL
    )`);
    for (const statement of [...say, ...triggers]) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const name of names) await runner.query(`DROP FUNCTION decnet_${name}() CASCADE`);
    await runner.query("DROP TABLE host_leases");
    await runner.query("DROP FUNCTION decnet_is_held_elsewhere(text), decnet_say(text), decnet_has_company()");
    await runner.query("ALTER TABLE masters DROP COLUMN addresses");
  }
}
