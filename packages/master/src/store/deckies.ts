import { AppError } from "@decnet/common/errors/app-error";
import type { Decky, NewRevision, Revision, StoredService } from "../model/decky.ts";
import type { Rotation } from "../model/rotation.ts";
import { createCodec } from "./codec.ts";
import { In, LessThan } from "./conditions.ts";
import type { Database, Tx } from "./database.ts";
import { createHostDeckies, type HostDeckies } from "./host-deckies.ts";
import { type FilterConditions, type ListedRows, type ListRequest, listRows, type PageRange } from "./list-rows.ts";
import { namedAs, topologyName } from "./named-as.ts";
import type { RotationStore } from "./rotations.ts";
import type { SealedService, Sealing } from "./sealing.ts";
import { Deckies, DriftChecks, type RevisionRow, Revisions } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertJson } from "./write.ts";

/** A decky as it is shown. */
export interface ShownDecky {
  readonly decky: Decky;
  /** Of the desired revision. */
  readonly services: readonly StoredService[];
  /** When it was last seen as it is stored. */
  readonly seenAt: Date | undefined;
  /** Undefined: its services stay as they are. */
  readonly rotation: Rotation | undefined;
}

/** A revision beside the one that it is compared with. */
export interface ComparedRevision {
  readonly revision: Revision;
  /** Undefined: none before it is kept. Of the first one it is number 0, which has no services. */
  readonly before: { readonly number: number; readonly services: readonly StoredService[] } | undefined;
}

/** Deckies and their revisions: looking them up. What becomes of them is stored by Resolutions. */
export interface DeckyStore extends HostDeckies {
  /** Throws DECKY_NOT_FOUND. */
  show(scope: string, name: string): Promise<ShownDecky>;
  list(request: ListRequest): Promise<ListedRows<ShownDecky>>;
  /** The deckies that fit, in order; `size` at most. */
  names(request: ListRequest): Promise<Pick<Decky, "scope" | "name">[]>;
  /** Revisions of one decky, newest first: one, or a page. Throws DECKY_NOT_FOUND or REVISION_NOT_FOUND. */
  revisions(
    request: RevisionsRequest,
  ): Promise<{ readonly revisions: ComparedRevision[]; readonly next: readonly string[] | undefined }>;
  /** Those of the given ids that are there. */
  showAll(ids: readonly string[]): Promise<ShownDecky[]>;
  /** All of a scope, by name. */
  showScope(scope: string): Promise<ShownDecky[]>;
  /** Services of the desired revision of many deckies. */
  desiredServices(tx: Tx, deckies: readonly Decky[]): Promise<Map<string, StoredService[]>>;
  /** Stores deckies that are new, with their first revisions. */
  insertNew(tx: Tx, deckies: readonly Decky[], revisions: readonly NewRevision[]): Promise<void>;
}

export interface RevisionsRequest {
  readonly scope: string;
  readonly name: string;
  /** Undefined: a page of them. */
  readonly revision: number | undefined;
  /** Undefined: the one before each, of those that are kept. */
  readonly compareTo: number | undefined;
  readonly page: PageRange;
}

/** What a filter of deckies such as `state!=running,host=edge-*` can name. */
const deckyConditions: FilterConditions = {
  name: (comparison) => namedAs("decky.scope", "decky.name", comparison),
  topology: (comparison) => `${topologyName("decky.scope")} ${comparison}`,
  state: (comparison) => `decky.state ${comparison}`,
  host: (comparison) => `decky.host ${comparison}`,
  service: (comparison) =>
    `EXISTS (SELECT FROM decky_revisions AS wanted, jsonb_array_elements(wanted.services) AS service
      WHERE wanted.decky_id = decky.id AND wanted.number = decky.desiredRevision AND service ->> 'slug' ${comparison})`,
  archetype: (comparison) => `decky.identity ->> 'archetype' ${comparison}`,
  distro: (comparison) => `decky.identity ->> 'distro' ${comparison}`,
};

/** Keys of such a filter. */
export const deckyFilterKeys = Object.keys(deckyConditions);

const deckyCodec = createCodec(Deckies);
const revisionCodec = createCodec(Revisions);

export function deckyNotFound(scope: string, name: string): AppError {
  return new AppError("DECKY_NOT_FOUND", `there is no decky ${JSON.stringify(name)}`, {
    metadata: { decky: name, scope },
    resource: { type: "decky", name },
  });
}

export function revisionNotFound(
  { name: decky, desiredRevision }: Pick<Decky, "name" | "desiredRevision">,
  number: number,
): AppError {
  const why = number > 0 && number <= desiredRevision ? " any more: it is older than what is kept" : "";
  return new AppError("REVISION_NOT_FOUND", `${decky} has no revision ${number}${why}`, {
    metadata: { decky, revision: String(number) },
    resource: { type: "revision", name: `${decky}@${number}` },
  });
}

export function createDeckyStore(database: Database, sealing: Sealing, rotations: Pick<RotationStore, "of">): DeckyStore {
  const open = ({ services, ...row }: RevisionRow): Revision => ({ ...row, services: sealing.open(row.deckyId, services) });

  const desiredServices: DeckyStore["desiredServices"] = async (tx, deckies) => {
    if (deckies.length === 0) return new Map();
    const rows: { id: string; services: SealedService[] }[] = await managerOf(tx).query(
      `SELECT decky.id, revision.services FROM deckies AS decky
         JOIN decky_revisions AS revision ON revision.decky_id = decky.id AND revision.number = decky.desired_revision
       WHERE decky.id = ANY ($1)`,
      [deckies.map((decky) => decky.id)],
    );
    return new Map(rows.map(({ id, services }) => [id, sealing.open(id, services)]));
  };

  const find = async (tx: Tx, scope: string, name: string): Promise<Decky> => {
    const found = await managerOf(tx).getRepository(Deckies).findOneBy({ scope, name });
    if (found === null) throw deckyNotFound(scope, name);
    return found;
  };

  const revision = async (tx: Tx, decky: Decky, number: number): Promise<Revision> => {
    const row = await managerOf(tx).getRepository(Revisions).findOneBy({ deckyId: decky.id, number });
    if (row === null) throw revisionNotFound(decky, number);
    return open(row);
  };

  /** The newest ones before a number, so many at most. */
  const revisionsBefore = async (tx: Tx, { id }: Decky, number: number, most: number): Promise<Revision[]> => {
    const rows = await managerOf(tx)
      .getRepository(Revisions)
      .find({ where: { deckyId: id, number: LessThan(number) }, order: { number: "DESC" }, take: most });
    return rows.map(open);
  };

  const show = async (tx: Tx, deckies: readonly Decky[]): Promise<ShownDecky[]> => {
    const [services, checks] = await Promise.all([desiredServices(tx, deckies), managerOf(tx).getRepository(DriftChecks).find()]);
    const rotating = await rotations.of(deckies.map(({ id }) => id));
    const checkedAt = new Map(checks.map((check) => [check.host, check.checkedAt]));
    return deckies.map((decky) => ({
      decky,
      services: services.get(decky.id) ?? [],
      seenAt: seenAt(decky, checkedAt.get(decky.host)),
      rotation: rotating.get(decky.id),
    }));
  };

  const listed = (tx: Tx, request: ListRequest) =>
    listRows(managerOf(tx).getRepository(Deckies).createQueryBuilder("decky"), {
      ...request,
      conditions: deckyConditions,
      countBy: "decky.state",
      order: [
        { column: "decky.scope", direction: "ASC", value: ({ scope }) => scope },
        { column: "decky.name", direction: "ASC", value: ({ name }) => name },
      ],
    });

  return {
    ...createHostDeckies(database),
    desiredServices,
    show: (scope, name) =>
      database.read(async (tx) => {
        const [shown] = await show(tx, [await find(tx, scope, name)]);
        if (shown === undefined) throw deckyNotFound(scope, name);
        return shown;
      }),
    showAll: (ids) =>
      database.read(async (tx) =>
        show(
          tx,
          await managerOf(tx)
            .getRepository(Deckies)
            .findBy({ id: In([...ids]) }),
        ),
      ),
    showScope: (scope) =>
      database.read(async (tx) =>
        show(
          tx,
          await managerOf(tx)
            .getRepository(Deckies)
            .find({ where: { scope }, order: { name: "ASC" } }),
        ),
      ),
    list: (request) =>
      database.read(async (tx) => {
        const { rows, ...rest } = await listed(tx, request);
        return { ...rest, rows: await show(tx, rows) };
      }),
    names: (request) => database.read(async (tx) => (await listed(tx, request)).rows.map(({ scope, name }) => ({ scope, name }))),
    revisions: ({ scope, name, revision: single, compareTo, page }) =>
      database.read(async (tx) => {
        const decky = await find(tx, scope, name);
        const start = page.after === undefined ? decky.desiredRevision + 1 : Number(page.after[0]);
        // One more: what the last one is compared with, and whether there is another page.
        const found =
          single === undefined
            ? await revisionsBefore(tx, decky, start, page.size + 1)
            : [await revision(tx, decky, single), ...(await revisionsBefore(tx, decky, single, 1))];
        const shown = found.slice(0, single === undefined ? page.size : 1);
        const other =
          compareTo === undefined || compareTo === 0 ? { number: 0, services: [] } : await revision(tx, decky, compareTo);
        const revisions = shown.map((each, at) => ({
          revision: each,
          before: compareTo !== undefined ? other : (found[at + 1] ?? (each.number === 1 ? other : undefined)),
        }));
        const oldest = shown.at(-1);
        return { revisions, next: found.length > page.size && oldest !== undefined ? [String(oldest.number)] : undefined };
      }),
    async insertNew(tx, deckies, revisions) {
      const createdAt = new Date();
      await insertJson(tx, deckyCodec, deckies);
      const rows = revisions.map((each) => ({ ...each, services: sealing.seal(each.deckyId, each.services), createdAt }));
      await insertJson(tx, revisionCodec, rows);
    },
  };
}

/** A later drift check of the host found what is stored, unless the decky is being changed. */
function seenAt({ state, observedAt }: Decky, checkedAt: Date | undefined): Date | undefined {
  if (observedAt === null) return undefined;
  return state !== "changing" && checkedAt !== undefined && checkedAt > observedAt ? checkedAt : observedAt;
}
