import type { MigrationInterface, QueryRunner } from "typeorm";

const place = "jsonb_build_object('lan', lan, 'ip', ip, 'mac', mac)";

const statements = [
  "ALTER TABLE deckies ADD COLUMN attachments jsonb",
  `UPDATE deckies SET attachments = jsonb_build_array(${place})`,
  "ALTER TABLE deckies ALTER COLUMN attachments SET NOT NULL",
  `UPDATE deckies SET applied_identity = jsonb_build_object('identity', applied_identity -> 'identity',
     'attachments', jsonb_build_array(${place} || jsonb_build_object('ip', applied_identity -> 'ip')))
     WHERE applied_identity IS NOT NULL`,
  `CREATE TABLE decky_attachments (
     decky_id uuid NOT NULL REFERENCES deckies (id) ON DELETE CASCADE,
     ordinal int NOT NULL,
     scope text NOT NULL,
     lan text NOT NULL,
     ip text NOT NULL,
     mac text NOT NULL,
     CONSTRAINT decky_attachments_pkey PRIMARY KEY (decky_id, ordinal),
     CONSTRAINT attachments_ip UNIQUE (scope, lan, ip),
     CONSTRAINT attachments_mac UNIQUE (scope, lan, mac)
   )`,
  // What a writer says of a decky stays one value; the table holds what the database must not allow twice.
  `CREATE FUNCTION note_attachments() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     DELETE FROM decky_attachments WHERE decky_id = NEW.id;
     INSERT INTO decky_attachments (decky_id, ordinal, scope, lan, ip, mac)
       SELECT NEW.id, item.ordinal, NEW.scope, item.value -> 'lan' ->> 'name', item.value ->> 'ip', item.value ->> 'mac'
       FROM jsonb_array_elements(NEW.attachments) WITH ORDINALITY AS item (value, ordinal);
     RETURN NULL;
   END $$`,
  `INSERT INTO decky_attachments (decky_id, ordinal, scope, lan, ip, mac)
     SELECT id, 1, scope, lan_name, ip, mac FROM deckies`,
  "CREATE TRIGGER attached AFTER INSERT ON deckies FOR EACH ROW EXECUTE FUNCTION note_attachments()",
  `CREATE TRIGGER attached_elsewhere AFTER UPDATE ON deckies FOR EACH ROW
     WHEN (OLD.attachments IS DISTINCT FROM NEW.attachments) EXECUTE FUNCTION note_attachments()`,
  "ALTER TABLE deckies DROP COLUMN lan, DROP COLUMN lan_name, DROP COLUMN ip, DROP COLUMN mac",
];

const back = [
  "ALTER TABLE deckies ADD COLUMN lan jsonb, ADD COLUMN lan_name text, ADD COLUMN ip text, ADD COLUMN mac text",
  `UPDATE deckies SET lan = attachments -> 0 -> 'lan', lan_name = attachments -> 0 -> 'lan' ->> 'name',
     ip = attachments -> 0 ->> 'ip', mac = attachments -> 0 ->> 'mac'`,
  `UPDATE deckies SET applied_identity = jsonb_build_object('identity', applied_identity -> 'identity',
     'ip', applied_identity -> 'attachments' -> 0 -> 'ip') WHERE applied_identity IS NOT NULL`,
  `ALTER TABLE deckies ALTER COLUMN lan SET NOT NULL, ALTER COLUMN lan_name SET NOT NULL,
     ALTER COLUMN ip SET NOT NULL, ALTER COLUMN mac SET NOT NULL,
     ADD CONSTRAINT deckies_ip UNIQUE (scope, lan_name, ip), ADD CONSTRAINT deckies_mac UNIQUE (scope, lan_name, mac)`,
  "DROP TRIGGER attached ON deckies",
  "DROP TRIGGER attached_elsewhere ON deckies",
  "DROP TABLE decky_attachments",
  "DROP FUNCTION note_attachments",
  "ALTER TABLE deckies DROP COLUMN attachments",
];

/** A decky may be on several LANs: no two deckies of a scope have one address, or one MAC address, on the same LAN. */
export class Attachments1764800000000 implements MigrationInterface {
  readonly name = "Attachments1764800000000";

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of statements) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of back) await runner.query(statement);
  }
}
