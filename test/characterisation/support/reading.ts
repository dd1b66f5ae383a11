import { fromConnectError } from "@decnet/common/rpc/errors";
import type { Event } from "@decnet/contract/gen/decnet/v1/event_pb";
import { type Operation, OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { TestMaster } from "../../support/use-master.ts";
import { formatDecky, formatEvent, formatHost, formatOperation, formatRevisions, lines } from "./format.ts";
import { normalise } from "./normalise.ts";

/** What can be read of a situation, through the calls that everybody has. */
export interface Reading {
  /** What happened so far is left out. Waits until nothing is open. */
  begin(): Promise<void>;
  operation(id: string): Promise<Operation>;
  /** Since it began: those with the given ids, each followed by its parts, then what the master began by itself. */
  operations(calledFor: readonly string[]): Promise<Operation[]>;
  /** A decky with its revisions. */
  decky(name: string): Promise<string>;
  untilOver(): Promise<void>;
  /** All of it as text. */
  tell(about: {
    readonly title: string;
    readonly calls: readonly string[];
    readonly calledFor: readonly string[];
    readonly deckies: readonly string[];
    readonly hosts: readonly string[];
  }): Promise<string>;
}

const patienceMs = 30_000;
const pollMs = 20;
const open: readonly OperationState[] = [OperationState.PENDING, OperationState.RUNNING];

/** Waits for a condition, and says which one when it does not come true. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`${what}: not so after ${patienceMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

export function isOver({ state }: Operation): boolean {
  return !open.includes(state);
}

/** A client that only stops reading leaves its stream open, and a token has only so many. */
async function hear<T>(read: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const enough = new AbortController();
  try {
    return await read(enough.signal);
  } finally {
    enough.abort();
  }
}

export function createReading(master: TestMaster): Reading {
  let known = new Set<string>();
  let cursor = "";

  const head = () =>
    hear(async (signal) => {
      for await (const { item } of master.events.subscribe({}, { signal }))
        if (item.case === "heartbeat") return item.value.cursor;
      throw new Error("no heartbeat came");
    });
  const list = async () => {
    const { operations, nextPageToken } = await master.operations.listOperations({ pageSize: 1_000 });
    if (nextPageToken !== "") throw new Error("there are more operations than one page holds");
    return operations.filter(({ id }) => !known.has(id));
  };
  const read = async (id: string): Promise<Operation> => {
    const { operation } = await master.operations.getOperation({ id });
    if (operation === undefined) throw new Error(`no operation ${id}`);
    return operation;
  };
  const untilOver = () => until("every operation is over", async () => (await list()).every(isOver));

  const operations = async (calledFor: readonly string[]): Promise<Operation[]> => {
    const found = new Map<string, Operation>();
    for (const { id } of await list()) found.set(id, await read(id));
    const ordered: Operation[] = [];
    const take = (id: string) => {
      const operation = found.get(id);
      if (operation === undefined) return;
      found.delete(id);
      ordered.push(operation);
      const parts = operation.children.flatMap((child) => found.get(child) ?? []);
      for (const part of parts.sort(byPlace)) take(part.id);
    };
    for (const id of calledFor) take(id);
    for (const operation of [...found.values()].sort(byPlace)) take(operation.id);
    return ordered;
  };

  /** The position of the newest one is known: nothing that happened by now is missed, and nobody waits for more. */
  const eventsSince = async (from: string): Promise<Event[]> => {
    const to = await head();
    const events: Event[] = [];
    if (from === to) return events;
    return hear(async (signal) => {
      for await (const { item } of master.events.subscribe({ cursor: from }, { signal })) {
        if (item.case !== "event") continue;
        events.push(item.value);
        if (item.value.cursor === to) return events;
      }
      throw new Error("the events ended");
    });
  };

  const decky = async (name: string): Promise<string> => {
    try {
      const { decky: found } = await master.fleet.getDecky({ decky: { name } });
      if (found === undefined) throw new Error(`no decky ${name}`);
      const { revisions } = await master.fleet.listRevisions({ decky: { name } });
      return lines([formatDecky(found), formatRevisions(name, revisions)]);
    } catch (error) {
      return `decky ${name}: ${fromConnectError(error).reason}`;
    }
  };

  const host = async (name: string): Promise<string> => {
    try {
      const { host: found } = await master.swarm.getHost({ name });
      if (found === undefined) throw new Error(`no host ${name}`);
      return formatHost(found);
    } catch (error) {
      return `host ${name}: ${fromConnectError(error).reason}`;
    }
  };

  return {
    async begin() {
      await untilOver();
      for (const { id } of await list()) known = known.add(id);
      cursor = await head();
    },
    operation: read,
    operations,
    decky,
    untilOver,
    async tell({ title, calls, calledFor, deckies, hosts }) {
      const made = await operations(calledFor);
      const events = await eventsSince(cursor);
      const names = [...deckies].sort();
      const others = [...hosts].sort();
      const afterwards = [];
      for (const name of names) afterwards.push(await decky(name));
      for (const name of others) afterwards.push(await host(name));
      const keys = [...names.map((name) => `decky.${name}.`), ...others.map((name) => `host.${name}.`)];
      const told = keys.flatMap((key) => events.filter(({ topic }) => topic.startsWith(key)).map(formatEvent));
      const text = [
        `# ${title}`,
        lines(["## calls", ...calls]),
        lines(["## operations", ...made.map((operation) => formatOperation(withPartsInOrder(operation, made)))]),
        lines(["## afterwards", ...afterwards]),
        lines(["## events", ...told]),
      ].join("\n\n");
      return normalise(
        `${text}\n`,
        made.map(({ id }) => id),
      );
    },
  };
}

/** Parts of one decky are listed in any order. */
function withPartsInOrder(operation: Operation, all: readonly Operation[]): Operation {
  return { ...operation, children: all.map(({ id }) => id).filter((id) => operation.children.includes(id)) };
}

/** Stable from run to run: by decky, host, revision, and age at last. */
export function byPlace(left: Operation, right: Operation): number {
  const key = ({ decky, host, revision, createdAt }: Operation) => [
    decky?.name ?? "",
    host,
    String(revision).padStart(6, "0"),
    String(createdAt?.seconds).padStart(12, "0"),
    String(createdAt?.nanos).padStart(9, "0"),
  ];
  return key(left).join(" ") < key(right).join(" ") ? -1 : 1;
}
