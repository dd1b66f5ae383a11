import { AppError } from "@decnet/common/errors/app-error";
import { createRounds } from "@decnet/common/runtime/rounds";
import type { SeenDecky } from "../decide/topology/next-state.ts";
import { designEvent, topologyEvent } from "../model/events.ts";
import type { Operation } from "../model/operation.ts";
import { type Design, isLegalTransition, type Topology, type TopologyEvent, type TopologyState } from "../model/topology.ts";
import type { Database, Tx } from "./database.ts";
import { type FilterConditions, type ListedRows, type ListRequest, listRows } from "./list-rows.ts";
import type { EventLog } from "./outbox.ts";
import type { SealedDesign, Sealing } from "./sealing.ts";
import { Topologies, TopologyEvents, type TopologyRow } from "./tables.ts";
import { managerOf } from "./transaction.ts";
import { insertRows, updateRows } from "./write.ts";

/** What decides how a topology stands. */
export interface TopologyStanding {
  readonly topology: Topology;
  readonly deckies: readonly SeenDecky[];
  /** Why deckies that are designed are not there, by name. */
  readonly lost: ReadonlyMap<string, string>;
  /** An operation about the whole of it has not ended, or a teardown of one of its deckies, as when its host goes. */
  readonly isBusy: boolean;
  /** What the newest operation about the whole of it failed with, or who cancelled it; empty when it did not and nobody did. */
  readonly failure: string;
}

export type BriefTopology = Pick<Topology, "id" | "name" | "state">;

/** Topologies, and every step of their lives. */
export interface TopologyStore {
  /** By id or name. Throws TOPOLOGY_NOT_FOUND. */
  find(idOrName: string, tx?: Tx): Promise<Topology>;
  /** Holds the row until the transaction ends. Throws TOPOLOGY_NOT_FOUND. */
  lock(tx: Tx, idOrName: string): Promise<Topology>;
  list(request: ListRequest): Promise<ListedRows<Topology>>;
  /** Ids and names of those that have one of these ids or names. */
  known(idsOrNames: readonly string[]): Promise<Pick<Topology, "id" | "name">[]>;
  /**
   * How one stands by what is stored, without its design: what changes of single deckies ask, however large it is. Throws
   * TOPOLOGY_NOT_FOUND.
   */
  briefly(id: string): Promise<BriefTopology>;
  /** All but those that are torn down. */
  inUse(tx: Tx): Promise<Topology[]>;
  /** Those of a host by name; locked, in the order of their ids, where somebody is about to change them with its deckies. */
  ofHost(tx: Tx, host: string, lock?: "locked"): Promise<Topology[]>;
  events(id: string): Promise<TopologyEvent[]>;
  /** Throws TOPOLOGY_INVALID when the name is taken. */
  insert(tx: Tx, topology: Topology): Promise<void>;
  /** A new design has the next version, by this edit or because that is taken back; it is told of. */
  redesign(
    tx: Tx,
    topology: Topology,
    design: Design,
    edit: Pick<Operation, "id" | "actor">,
    isTakenBack?: boolean,
  ): Promise<void>;
  /** Takes one legal step, and tells of it. Throws TOPOLOGY_STATE for another one. */
  step(tx: Tx, topology: Topology, to: TopologyState, reason: string): Promise<void>;
  /** Says why it is in the state that it is in. */
  explain(tx: Tx, topology: Topology, reason: string): Promise<void>;
  remove(tx: Tx, id: string): Promise<void>;
  /** Of those that somebody deployed and nobody tore down, or of one of them. */
  standings(id?: string): Promise<TopologyStanding[]>;
}

const conditions: FilterConditions = {
  name: (comparison) => `topology.name ${comparison}`,
  state: (comparison) => `topology.state ${comparison}`,
  host: (comparison) => `topology.host ${comparison}`,
};

/** What a filter of topologies can name. */
export const topologyFilterKeys = Object.keys(conditions);

const known = {
  name: "decnet-known-topologies",
  text: "SELECT id, name FROM topologies WHERE id = ANY ($1) OR name = ANY ($1)",
};

const brief = { name: "decnet-topology", text: "SELECT id, name, state FROM topologies WHERE id = ANY ($1)" };
/** Changes of many deckies at once ask together. */
const mostBrief = 64;

const standings = {
  name: "decnet-topology-standings",
  text: `SELECT topology.id,
      coalesce((SELECT json_agg(json_build_object('name', decky.name, 'state', decky.state, 'message', decky.message,
          'leaving', decky.leaving, 'ill', coalesce((SELECT json_agg(service ->> 'containerName')
            FROM jsonb_array_elements(decky.observed -> 'services') AS service
            WHERE service ->> 'state' <> 'running'), '[]')) ORDER BY decky.name)
        FROM deckies AS decky WHERE decky.scope = topology.id), '[]') AS deckies,
      EXISTS (SELECT FROM operations AS operation WHERE operation.scope = topology.id
        AND (operation.decky_id IS NULL OR operation.kind = 'teardown_decky')
        AND operation.state IN ('pending', 'running')) AS busy,
      coalesce((SELECT CASE operation.state WHEN 'failed' THEN operation.error ->> 'message'
          WHEN 'cancelled' THEN 'cancelled by ' || (operation.cancelled_by ->> 'actor') END FROM operations AS operation
        WHERE operation.scope = topology.id AND operation.decky_id IS NULL
        ORDER BY operation.created_at DESC LIMIT 1), '') AS failure
    FROM topologies AS topology
    WHERE topology.state IN ('deploying', 'active', 'degraded', 'tearing_down') AND ($1::text IS NULL OR topology.id = $1)`,
};

/** How the newest deploy of each of these deckies ended, if it did not succeed. */
const lost = {
  name: "decnet-lost-deckies",
  text: `SELECT name, message FROM (
      SELECT DISTINCT ON (operation.decky_name) operation.decky_name AS name, operation.state,
        CASE operation.state WHEN 'failed' THEN 'its deploy failed: ' || left(operation.error ->> 'message', 1000)
          WHEN 'cancelled' THEN 'its deploy was cancelled by ' || (operation.cancelled_by ->> 'actor') END AS message
      FROM operations AS operation
      WHERE operation.scope = $1 AND operation.kind = 'deploy_decky' AND operation.decky_name = ANY ($2)
      ORDER BY operation.decky_name, operation.created_at DESC) AS newest
    WHERE message IS NOT NULL`,
};
/** A reason names no more. */
const mostLost = 20;

interface StandingRow extends Pick<TopologyStanding, "deckies" | "failure"> {
  readonly id: string;
  readonly busy: boolean;
}

export function createTopologyStore(database: Database, sealing: Sealing, events: Pick<EventLog, "append">): TopologyStore {
  const repository = (tx: Tx) => managerOf(tx).getRepository(Topologies);
  const seal = (design: Design): SealedDesign => ({
    lans: design.lans,
    deckies: design.deckies.map((decky) => ({ ...decky, services: sealing.seal(decky.id, decky.services) })),
  });
  const open = ({ design, ...row }: TopologyRow): Topology => ({
    ...row,
    design: {
      lans: design.lans,
      deckies: design.deckies.map((decky) => ({ ...decky, services: sealing.open(decky.id, decky.services) })),
    },
  });
  const findIn = async (tx: Tx, idOrName: string, isLocked: boolean): Promise<Topology> => {
    const lock = isLocked ? { lock: { mode: "for_no_key_update" } as const } : {};
    const found = await repository(tx).findOne({ where: [{ id: idOrName }, { name: idOrName }], ...lock });
    if (found === null) throw topologyNotFound(idOrName);
    return open(found);
  };
  const lostOf = async ({ id, design }: Topology, deckies: readonly SeenDecky[]): Promise<ReadonlyMap<string, string>> => {
    const there = new Set(deckies.map(({ name }) => name));
    const absent = design.deckies.map(({ name }) => name).filter((name) => !there.has(name));
    if (absent.length === 0) return new Map();
    const rows = await database.run<{ name: string; message: string }>(lost, [id, absent.slice(0, mostLost)]);
    return new Map(rows.map(({ name, message }) => [name, message]));
  };
  const readBriefly = createRounds<string, BriefTopology | undefined>({
    most: mostBrief,
    async serve(ids) {
      const rows = await database.run<BriefTopology>(brief, [[...new Set(ids)]]);
      return ids.map((id) => rows.find((row) => row.id === id));
    },
  });
  return {
    find: (idOrName, tx) =>
      tx === undefined ? database.read((within) => findIn(within, idOrName, false)) : findIn(tx, idOrName, false),
    lock: (tx, idOrName) => findIn(tx, idOrName, true),
    list: (request) =>
      database.read(async (tx) => {
        const { rows, ...rest } = await listRows(repository(tx).createQueryBuilder("topology"), {
          ...request,
          conditions,
          countBy: "topology.state",
          order: [{ column: "topology.name", direction: "ASC", value: ({ name }) => name }],
        });
        return { ...rest, rows: rows.map(open) };
      }),
    known: (idsOrNames) => database.run<Pick<Topology, "id" | "name">>(known, [[...idsOrNames]]),
    async briefly(id) {
      const found = await readBriefly(id);
      if (found === undefined) throw topologyNotFound(id);
      return found;
    },
    async inUse(tx) {
      const rows = await repository(tx).find({ order: { name: "ASC" } });
      return rows.filter(({ state }) => state !== "torn_down").map(open);
    },
    async ofHost(tx, host, lock) {
      if (lock === undefined) return (await repository(tx).find({ where: { host }, order: { name: "ASC" } })).map(open);
      const mode = { mode: "for_no_key_update" } as const;
      return (await repository(tx).find({ where: { host }, order: { id: "ASC" }, lock: mode })).map(open);
    },
    events: (id) =>
      database.read((tx) =>
        managerOf(tx)
          .getRepository(TopologyEvents)
          .find({ where: { topologyId: id }, order: { number: "ASC" } }),
      ),
    insert: (tx, topology) => insertRows(tx, Topologies, [{ ...topology, design: seal(topology.design) }]),
    async redesign(tx, topology, design, edit, isTakenBack = false) {
      const { id, version } = topology;
      await updateRows(tx, Topologies, { id, version }, { design: seal(design), version: version + 1 });
      events.append(tx, [designEvent(topology, edit, isTakenBack)]);
    },
    async step(tx, topology, to, reason) {
      const { id, state: from, name } = topology;
      if (!isLegalTransition(from, to))
        throw new AppError("TOPOLOGY_STATE", `${name} is ${from} and cannot become ${to}`, {
          metadata: { topology: name, state: from },
        });
      const at = new Date();
      const changed = await updateRows(tx, Topologies, { id, state: from }, { state: to, reason, stateChangedAt: at });
      if (changed === 0) return;
      await managerOf(tx).getRepository(TopologyEvents).insert({ topologyId: id, fromState: from, toState: to, at, reason });
      events.append(tx, [topologyEvent(topology, { fromState: from, toState: to, reason })]);
    },
    async explain(tx, { id, state }, reason) {
      await updateRows(tx, Topologies, { id, state }, { reason });
    },
    async remove(tx, id) {
      await repository(tx).delete({ id });
    },
    async standings(id) {
      const rows = await database.run<StandingRow>(standings, [id ?? null]);
      if (rows.length === 0) return [];
      const known = await database.read(async (tx) => {
        const found = new Map<string, Topology>();
        for (const { id: each } of rows) {
          const row = await repository(tx).findOneBy({ id: each });
          if (row !== null) found.set(each, open(row));
        }
        return found;
      });
      const found: TopologyStanding[] = [];
      for (const { id: each, busy, deckies, failure } of rows) {
        const topology = known.get(each);
        if (topology === undefined) continue;
        found.push({ topology, deckies, lost: await lostOf(topology, deckies), failure, isBusy: busy });
      }
      return found;
    },
  };
}

export function topologyNotFound(idOrName: string): AppError {
  return new AppError("TOPOLOGY_NOT_FOUND", `there is no topology ${JSON.stringify(idOrName)}`, {
    metadata: { topology: idOrName },
    resource: { type: "topology", name: idOrName },
  });
}
