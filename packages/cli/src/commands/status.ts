import { setTimeout as delay } from "node:timers/promises";
import { toJson } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { DeckySchema } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { GetBusResponseSchema } from "@decnet/contract/gen/decnet/v1/event_pb";
import { type Operation, OperationSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { HostSchema, HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import type { Connection } from "../connection.ts";
import { reading } from "../flags.ts";
import { formatDocument } from "../forms.ts";
import { clearScreen, print, printRaw } from "../output.ts";
import { pageSize, readPages } from "../pages.ts";
import { formOf, type ReadFlags } from "../read-flags.ts";
import { formatStatus, isLost, type Status } from "../text/status.ts";

const mostRows = 10;
const mostChanges = 5;
const recentMs = 3_600_000;
const watchEveryMs = 2_000;
/** A filter has an end: the deckies of more lost hosts than this are listed one by one. */
const mostLeftOut = 10;

/** `decnet status` */
export function registerStatus(program: Command, cli: Cli): void {
  reading(
    program
      .command("status")
      .description("What needs attention, on one screen.")
      .option("--watch", "again every two seconds, until Ctrl-C"),
    {
      examples: ["status", "status --watch", "status --json"],
      rpc: "FleetService/ListDeckies",
      body: '{"filter":"state!=running"}',
    },
  ).action((flags: ReadFlags & { watch?: boolean }) =>
    cli.withConnection(async (connection) => {
      for (;;) {
        showStatus(await readStatus(connection), flags);
        if (flags.watch !== true) return undefined;
        await delay(watchEveryMs);
      }
    }),
  );
}

function showStatus(status: Status, flags: ReadFlags & { watch?: boolean }): void {
  const form = formOf(flags);
  if (form === "table" || form === "wide") {
    if (flags.watch === true) clearScreen();
    print(formatStatus(status));
  } else if (form === "jsonl" && flags.watch === true) printRaw(JSON.stringify({ type: "status", ...toDocument(status) }));
  else printRaw(formatDocument(form, toDocument(status)));
}

/** The same for programs: the rows, not only their numbers. */
function toDocument({ context, version, counts, troubled, hosts, running, failed, bus }: Status) {
  return {
    deckies: troubled.map((decky) => toJson(DeckySchema, decky)),
    counts,
    hosts: hosts.map((host) => toJson(HostSchema, host)),
    running: running.map((operation) => toJson(OperationSchema, operation)),
    failed: failed.map((operation) => toJson(OperationSchema, operation)),
    ...(bus === undefined ? {} : { bus: toJson(GetBusResponseSchema, bus) }),
    context,
    version,
  };
}

async function readStatus(connection: Connection): Promise<Status> {
  const { fleet, access, operations, swarm, events, context } = connection;
  const [who, all, pages, open, ended, bus] = await Promise.all([
    access.whoAmI({}),
    fleet.listDeckies({ pageSize: 1 }),
    readPages((pageToken) => swarm.listHosts({ pageSize, pageToken })),
    operations.listOperations({
      filter: "state!=succeeded,state!=failed,state!=cancelled,state!=superseded,parent=",
      pageSize: mostChanges,
    }),
    operations.listOperations({ filter: "state=failed,parent=", pageSize: 2 * mostChanges }),
    events.getBus({}).catch((error: unknown) => {
      // A master of an earlier version.
      if (ConnectError.from(error).code === Code.Unimplemented) return undefined;
      throw error;
    }),
  ]);
  const hosts = pages.flatMap((page) => page.hosts).filter(({ state }) => state !== HostState.DECOMMISSIONED);
  const lost = hosts.filter(isLost).slice(0, mostLeftOut);
  const filter = ["state!=running", "state!=changing", "state!=pending", ...lost.map(({ name }) => `host!=${name}`)].join(",");
  const now = Date.now();
  const recent = ended.operations.filter(({ createdAt }) => createdAt !== undefined && timestampMs(createdAt) > now - recentMs);
  const [{ deckies }, failed] = await Promise.all([
    fleet.listDeckies({ filter, pageSize: mostRows }),
    stillThere(connection, recent),
  ]);
  return {
    context: context.name,
    version: who.serverVersion,
    counts: all.counts,
    troubled: deckies,
    hosts,
    running: open.operations,
    failed: failed.slice(0, mostChanges),
    bus,
    now,
  };
}

/** A change of a decky that is gone needs nobody any more. */
async function stillThere({ fleet }: Connection, changes: readonly Operation[]): Promise<Operation[]> {
  const isThere = async ({ decky }: Operation) => {
    if (decky === undefined) return true;
    return fleet.getDecky({ decky }).then(
      () => true,
      (error: unknown) => ConnectError.from(error).code !== Code.NotFound,
    );
  };
  const there = await Promise.all(changes.map(isThere));
  return changes.filter((_, index) => there[index]);
}
