import { AppError } from "@decnet/common/errors/app-error";
import { secretKeys } from "@decnet/engine/catalogue/effective";
import type { Catalogue, ServiceConfig } from "@decnet/engine/catalogue/types";
import type { DeckySpec } from "@decnet/engine/spec";
import type { HostTarget } from "@decnet/engine/wire/decky-spec";
import type { SealedService, StoredService } from "../model/decky.ts";
import type { Tx } from "./database.ts";
import type { SecretBox } from "./secret-box.ts";
import { Deckies, type DeckyRow, Looks, type RevisionRow, Revisions } from "./tables.ts";
import { insertRows } from "./write.ts";

export interface NewRevision {
  readonly decky: Pick<DeckyRow, "id">;
  readonly number: number;
  readonly services: readonly StoredService[];
  readonly actor: string;
  readonly reason: string;
  readonly operationId: string;
}

/** Deckies and their revisions. Secrets are sealed on the way in and opened on the way out. */
export interface DeckyStore {
  /** Locks the row until the transaction ends. Throws DECKY_NOT_FOUND. */
  lock(tx: Tx, scope: string, name: string): Promise<DeckyRow>;
  lockById(tx: Tx, id: string): Promise<DeckyRow | undefined>;
  find(tx: Tx, scope: string, name: string): Promise<DeckyRow>;
  services(tx: Tx, decky: Pick<DeckyRow, "id">, revision: number): Promise<StoredService[]>;
  revision(
    tx: Tx,
    decky: Pick<DeckyRow, "id" | "name">,
    revision: number,
  ): Promise<Omit<RevisionRow, "services"> & { services: StoredService[] }>;
  addRevision(tx: Tx, revision: NewRevision): Promise<void>;
  addRevisions(tx: Tx, revisions: readonly NewRevision[]): Promise<void>;
  /** When each of these deckies was last seen as it is stored. */
  seenAt(tx: Tx, deckies: readonly DeckyRow[]): Promise<Map<string, Date>>;
  /** Services of the desired revision of many deckies at once. */
  desiredServices(tx: Tx, deckies: readonly DeckyRow[]): Promise<Map<string, StoredService[]>>;
}

export function createDeckyStore(box: SecretBox, catalogue: Catalogue): DeckyStore {
  const seal = (deckyId: string, slug: string, config: ServiceConfig) => {
    const secrets = secretKeys(catalogue.services.get(slug));
    return mapConfig(config, (key, value) =>
      secrets.has(key) ? { $sealed: box.seal(String(value), `${deckyId}/${slug}/${key}`) } : value,
    );
  };
  const open = (deckyId: string, slug: string, config: Record<string, unknown>) =>
    mapConfig(config, (key, value) =>
      isSealed(value) ? box.open(value.$sealed, `${deckyId}/${slug}/${key}`) : value,
    ) as ServiceConfig;
  const openAll = (deckyId: string, services: readonly SealedService[]): StoredService[] =>
    services.map(({ slug, config, staged }) => ({
      slug,
      config: open(deckyId, slug, config),
      ...(staged === undefined ? {} : { staged: open(deckyId, slug, staged) }),
    }));
  const store: DeckyStore = {
    async lock(tx, scope, name) {
      const found = await tx.getRepository(Deckies).findOne({ where: { scope, name }, lock: { mode: "pessimistic_write" } });
      if (found === null) throw notFound(scope, name);
      return found;
    },
    async lockById(tx, id) {
      return (await tx.getRepository(Deckies).findOne({ where: { id }, lock: { mode: "pessimistic_write" } })) ?? undefined;
    },
    async find(tx, scope, name) {
      const found = await tx.getRepository(Deckies).findOneBy({ scope, name });
      if (found === null) throw notFound(scope, name);
      return found;
    },
    async services(tx, decky, number) {
      if (number === 0) return [];
      const row = await tx.getRepository(Revisions).findOneByOrFail({ deckyId: decky.id, number });
      return openAll(decky.id, row.services);
    },
    async revision(tx, decky, number) {
      const row = await tx.getRepository(Revisions).findOneBy({ deckyId: decky.id, number });
      if (row === null)
        throw new AppError("REVISION_NOT_FOUND", `${decky.name} has no revision ${number}`, {
          metadata: { decky: decky.name, revision: String(number) },
          resource: { type: "revision", name: `${decky.name}@${number}` },
        });
      return { ...row, services: openAll(decky.id, row.services) };
    },
    addRevision: (tx, revision) => store.addRevisions(tx, [revision]),
    async addRevisions(tx, revisions) {
      const createdAt = new Date();
      const rows = revisions.map(({ decky, services, ...rest }): RevisionRow => {
        const sealed = services.map(({ slug, config, staged }) => ({
          slug,
          config: seal(decky.id, slug, config),
          ...(staged === undefined ? {} : { staged: seal(decky.id, slug, staged) }),
        }));
        return { ...rest, deckyId: decky.id, services: sealed, createdAt };
      });
      await insertRows(tx, Revisions, rows);
    },
    async seenAt(tx, deckies) {
      const looks = new Map((await tx.getRepository(Looks).find()).map(({ host, lookedAt }) => [host, lookedAt]));
      return new Map(
        deckies.flatMap(({ id, host, state, observedAt }) => {
          if (observedAt === null) return [];
          const look = state === "changing" ? undefined : looks.get(host);
          return [[id, look !== undefined && look > observedAt ? look : observedAt] as const];
        }),
      );
    },
    async desiredServices(tx, deckies) {
      if (deckies.length === 0) return new Map();
      const rows = await tx
        .getRepository(Revisions)
        .createQueryBuilder("revision")
        .innerJoin("deckies", "decky", "decky.id = revision.decky_id AND decky.desired_revision = revision.number")
        .where("decky.id = ANY (:ids)", { ids: deckies.map((decky) => decky.id) })
        .getMany();
      return new Map(rows.map((row) => [row.deckyId, openAll(row.deckyId, row.services)]));
    },
  };
  return store;
}

/** Everything that rendering needs. */
export function toSpec(decky: DeckyRow, services: readonly StoredService[], revision: number): DeckySpec {
  return {
    scope: decky.scope,
    name: decky.name,
    revision,
    hostname: decky.identity.hostname,
    baseImage: decky.identity.baseImage,
    buildBase: decky.identity.buildBase,
    osFamily: decky.identity.osFamily,
    lan: { ...decky.lan, parent: decky.lan.parent ?? undefined },
    ip: decky.ip,
    mac: decky.mac,
    services: services.map(({ slug, config }) => ({ slug, config })),
  };
}

/** What a decky's host is told: the services of a revision, or that it is to be gone. */
export function toTarget(decky: DeckyRow, services: readonly StoredService[], revision: number, leaving: boolean): HostTarget {
  return leaving
    ? { kind: "absent", scope: decky.scope, name: decky.name }
    : { kind: "present", spec: toSpec(decky, services, revision), id: decky.id, distro: decky.identity.distro };
}

function notFound(scope: string, name: string): AppError {
  return new AppError("DECKY_NOT_FOUND", `there is no decky ${JSON.stringify(name)}`, {
    metadata: { decky: name, scope },
    resource: { type: "decky", name },
  });
}

function mapConfig(
  config: Readonly<Record<string, unknown>>,
  map: (key: string, value: unknown) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, map(key, value)]));
}

function isSealed(value: unknown): value is { readonly $sealed: string } {
  return typeof value === "object" && value !== null && "$sealed" in value && typeof value.$sealed === "string";
}
