import { AppError } from "@decnet/common/errors/app-error";
import { cleanText } from "@decnet/common/runtime/foreign-text";
import { acceptsCertificate, type Host, type HostPatch } from "../model/host.ts";
import { In, IsNull } from "./conditions.ts";
import type { Database, Tx } from "./database.ts";
import { isHeld } from "./leases.ts";
import { Hosts } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertRows, updateRows } from "./write.ts";

export interface HostCertificate {
  readonly hostId: string;
  readonly number: number;
  readonly serial: string;
  readonly notAfter: Date;
}

/** A host as far as it is told from others; what its agent said may be large. */
export type ListedHost = Omit<Host, "agentInfo">;
export type SilentHost = Pick<Host, "id" | "name" | "lastSeen"> & {
  /** When a master had it last; null when none says so. */
  readonly lostAt: Date | null;
  readonly lostMsAgo: number | null;
};

/** Enrolled workers. A decommissioned host keeps its row; its name is free again. */
export interface HostStore {
  /** Those that are not decommissioned, by name. */
  list(tx?: Tx): Promise<Host[]>;
  /** Decommissioned ones too, without what their agents said of their machines. */
  listAll(): Promise<ListedHost[]>;
  /** What the agents of these hosts said of their machines, as far as a list shows it, by the hosts' ids. */
  agentInfoOf(ids: readonly string[]): Promise<Map<string, Host["agentInfo"]>>;
  /** Of the hosts that are not named and that no master has, when they were last seen, and since when no master has them. */
  others(names: readonly string[]): Promise<SilentHost[]>;
  /** Throws HOST_NOT_FOUND. */
  find(name: string, tx?: Tx): Promise<Host>;
  /** The newest host of a name, decommissioned or not. */
  findLast(name: string): Promise<Host | undefined>;
  /** Locks the row until the transaction ends. */
  lock(tx: Tx, id: string): Promise<Host | undefined>;
  lockByName(tx: Tx, name: string): Promise<Host | undefined>;
  /**
   * The host whose certificate this is, if it is still accepted. One that is newer than the newest that is known here is noted:
   * the database is of a backup from before it was issued.
   */
  accepts(certificate: HostCertificate): Promise<Host | undefined>;
  /** The name of a host that is or was enrolled, for the record; empty for none. */
  nameOf(id: string): Promise<string>;
  /** Inserts or replaces. */
  save(tx: Tx, host: Host): Promise<void>;
  update(tx: Tx, id: string, patch: HostPatch): Promise<void>;
  /** One statement of its own. */
  note(id: string, patch: HostPatch): Promise<void>;
  noteSeen(names: readonly string[], at: Date): Promise<void>;
  decommissioning(): Promise<Host[]>;
}

export function createHostStore(database: Database): HostStore {
  const repository = (tx: Tx) => managerOf(tx).getRepository(Hosts);
  const within = <T>(tx: Tx | undefined, work: (tx: Tx) => Promise<T>): Promise<T> =>
    tx === undefined ? database.read(work) : work(tx);
  const locked = { mode: "pessimistic_write" } as const;
  return {
    list: (tx) =>
      within(tx, (found) => repository(found).find({ where: { decommissionedAt: IsNull() }, order: { name: "ASC" } })),
    listAll: () =>
      database.read((tx) => repository(tx).find({ select: listedColumns, order: { name: "ASC", enrolledAt: "ASC" } })),
    agentInfoOf: async (ids) => {
      const rows = await database.run<{ id: string; info: Host["agentInfo"] }>(listedInfo, [ids]);
      return new Map(rows.map(({ id, info }) => [id, info]));
    },
    others: (names) => database.run(others, [names]),
    find: (name, tx) =>
      within(tx, async (found) => {
        const shown = cleanText(name, 64);
        const row = shown === name ? await repository(found).findOneBy({ name, decommissionedAt: IsNull() }) : null;
        if (row === null) throw hostNotFound(shown);
        return row;
      }),
    findLast: (name) =>
      database.read(
        async (tx) => (await repository(tx).findOne({ where: { name }, order: { enrolledAt: "DESC" } })) ?? undefined,
      ),
    lock: async (tx, id) => (await repository(tx).findOne({ where: { id }, lock: locked })) ?? undefined,
    lockByName: async (tx, name) =>
      (await repository(tx).findOne({ where: { name, decommissionedAt: IsNull() }, lock: locked })) ?? undefined,
    async accepts({ hostId: id, number, serial, notAfter }) {
      const row = await database.read((tx) => repository(tx).findOneBy({ id, decommissionedAt: IsNull() }));
      if (row === null || !acceptsCertificate(row, number)) return undefined;
      if (number > row.certificateNumber) await database.run(learned, [id, number, serial, notAfter]);
      return row;
    },
    nameOf: (id) => database.read(async (tx) => (await repository(tx).findOneBy({ id }))?.name ?? ""),
    async save(tx, host) {
      const { id, ...rest } = host;
      if ((await updateRows(tx, Hosts, { id }, rest)) === 0) await insertRows(tx, Hosts, [host]);
    },
    async update(tx, id, patch) {
      await updateRows(tx, Hosts, { id }, patch);
    },
    note: (id, patch) => database.write(async (tx) => void (await updateRows(tx, Hosts, { id }, patch))),
    noteSeen: (names, at) =>
      database.write(
        async (tx) => void (await updateRows(tx, Hosts, { name: In([...names]), decommissionedAt: IsNull() }, { lastSeen: at })),
      ),
    decommissioning: () => database.read((tx) => repository(tx).findBy({ decommissioning: true, decommissionedAt: IsNull() })),
  };
}

const { agentInfo: _, ...columnsOfList } = Hosts.options.columns;
const listedColumns = Object.fromEntries(Object.keys(columnsOfList).map((column) => [column, true]));

/** A thousand hosts are on a page: without their interfaces, and of what is still long only what tells versions apart. */
const listedInfo = {
  name: "decnet-listed-agent-info",
  text: `SELECT id, CASE WHEN length(info::text) <= 4000 THEN info ELSE jsonb_build_object(
      'agentVersion', left(info ->> 'agentVersion', 100), 'engineVersion', left(info ->> 'engineVersion', 100),
      'composeVersion', left(info ->> 'composeVersion', 100),
      'warnings', jsonb_build_array('what its agent says is too long for a list')) END AS info
    FROM (SELECT id, agent_info - 'interfaces' AS info FROM hosts WHERE id = ANY ($1)) AS host`,
};

const learned = {
  name: "decnet-certificate-learned",
  text: `UPDATE hosts SET certificate_number = $2, certificate_serial = $3, certificate_expires_at = $4
    WHERE id = $1 AND certificate_number < $2`,
};

export function hostNotFound(name: string): AppError {
  return new AppError("HOST_NOT_FOUND", `there is no host ${JSON.stringify(name)}`, {
    metadata: { host: name },
    resource: { type: "host", name },
  });
}

const others = {
  name: "decnet-other-hosts",
  text: `SELECT hosts.id, hosts.name, hosts.last_seen AS "lastSeen",
      lost.at AS "lostAt", (extract(epoch FROM clock_timestamp() - lost.at) * 1000)::float8 AS "lostMsAgo"
    FROM hosts LEFT JOIN host_leases AS lease ON lease.host = hosts.name
      LEFT JOIN masters AS master ON master.instance = lease.instance
      CROSS JOIN LATERAL (
        SELECT CASE WHEN lease.held THEN greatest(master.seen_at, lease.since) ELSE lease.since END
      ) AS lost (at)
    WHERE hosts.decommissioned_at IS NULL AND NOT (hosts.name = ANY ($1)) AND coalesce(NOT ${isHeld("lease")}, true)
    ORDER BY hosts.name`,
};
