import { type Database, runIn } from "./database.ts";
import type { SealedService } from "./sealing.ts";

/** Which installation a database is of, and by what its keys are known again. */
export interface Installation {
  readonly id: string;
  /** Null in a database from before it was kept. */
  readonly secretKeyCheck: string | null;
  readonly authorityHash: string | null;
}

export interface InstallationStore {
  /** Undefined in a database that is empty. */
  find(): Promise<Installation | undefined>;
  /** Makes the database one of this installation, unless it is one already; returns which it is of. */
  make(keys: { readonly id: string; readonly secretKeyCheck: string; readonly authorityHash: string }): Promise<Installation>;
  /** Notes the keys that count from now on. With a new secret key, what the old one sealed is forgotten. */
  noteKeys(keys: { secretKeyCheck: string; authorityHash: string; forgetSecrets: boolean }): Promise<void>;
  noteVersion(version: string): Promise<void>;
  /** A revision of a decky that has a sealed secret in it; undefined when there is none. */
  anySealed(): Promise<{ readonly deckyId: string; readonly services: readonly SealedService[] } | undefined>;
}

const found = {
  name: "decnet-installation",
  text: `SELECT id, secret_key_check AS "secretKeyCheck", authority_hash AS "authorityHash" FROM installation`,
};
const made = {
  name: "decnet-installation-made",
  text: `INSERT INTO installation (id, created_at, secret_key_check, authority_hash)
    VALUES ($1, now(), $2, $3) ON CONFLICT DO NOTHING`,
};
const keysNoted = {
  name: "decnet-installation-keys",
  text: "UPDATE installation SET secret_key_check = $1, authority_hash = $2",
};
const versionNoted = {
  name: "decnet-installation-version",
  text: "UPDATE installation SET version = $1 WHERE version <> $1",
};
const sealed = {
  name: "decnet-any-sealed",
  text: `SELECT decky_id AS "deckyId", services FROM decky_revisions WHERE services::text LIKE '%"$sealed"%' LIMIT 1`,
};
/** The one time that a revision does change. */
const mutable = (word: "DISABLE" | "ENABLE") => ({
  name: `decnet-revisions-${word.toLowerCase()}`,
  text: `ALTER TABLE decky_revisions ${word} TRIGGER decky_revisions_immutable`,
});
/** Leaves the settings that are not sealed. */
const secretsForgotten = {
  name: "decnet-secrets-forgotten",
  text: `UPDATE decky_revisions SET services = (
      SELECT jsonb_agg(service.value || (
        SELECT jsonb_object_agg(part.key, (
          SELECT coalesce(jsonb_object_agg(setting.key, setting.value), '{}')
          FROM jsonb_each(part.value) AS setting
          WHERE jsonb_typeof(setting.value) <> 'object' OR NOT setting.value ? '$sealed'))
        FROM jsonb_each(service.value) AS part WHERE part.key IN ('config', 'staged')) ORDER BY service.ordinality)
      FROM jsonb_array_elements(services) WITH ORDINALITY AS service)
    WHERE services::text LIKE '%"$sealed"%'`,
};

export function createInstallationStore(database: Database): InstallationStore {
  const find = async (): Promise<Installation | undefined> => (await database.run<Installation>(found, []))[0];
  return {
    find,
    async make({ id, secretKeyCheck, authorityHash }) {
      // Two masters that find the database empty at the same time make one installation of it.
      await database.run(made, [id, secretKeyCheck, authorityHash]);
      const present = await find();
      if (present === undefined) throw new Error("the installation is not there after it was made");
      return present;
    },
    noteKeys: ({ secretKeyCheck, authorityHash, forgetSecrets }) =>
      database.transaction(async (tx) => {
        if (forgetSecrets)
          for (const statement of [mutable("DISABLE"), secretsForgotten, mutable("ENABLE")]) await runIn(tx, statement, []);
        await runIn(tx, keysNoted, [secretKeyCheck, authorityHash]);
      }),
    noteVersion: async (version) => void (await database.run(versionNoted, [version])),
    anySealed: async () => (await database.run<{ deckyId: string; services: SealedService[] }>(sealed, []))[0],
  };
}
