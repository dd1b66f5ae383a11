import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DeckySchema, DeckyState } from "@decnet/contract/gen/decnet/v1/decky_pb";
import { GetBusResponseSchema } from "@decnet/contract/gen/decnet/v1/event_pb";
import { HostSchema, HostState } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { expect, it } from "vitest";
import { formatStatus, type Status } from "./status.ts";

const now = Date.UTC(2026, 10, 24, 3, 0);
const empty: Status = {
  ...{ context: "lab", version: "0.1.0", counts: {}, troubled: [], hosts: [], running: [], failed: [] },
  bus: undefined,
  now,
};
const host = (more: MessageInitShape<typeof HostSchema> = {}) =>
  create(HostSchema, { name: "edge-1", state: HostState.CONNECTED, lastSeen: timestampFromMs(now - 2_000), ...more });
const rows = (more: Partial<Status>) =>
  formatStatus({ ...empty, ...more })
    .split("\n")
    .slice(3)
    .filter((line) => line !== "");

it("says nothing of hosts that are well", () => {
  expect(rows({ hosts: [host()] })).toEqual([]);
});

it.each<[string, MessageInitShape<typeof HostSchema>, string]>([
  [
    "is silent",
    { state: HostState.UNREACHABLE, lastSeen: timestampFromMs(now - 240_000), deckies: { unknown: 14 } },
    "  ? host  edge-1  silent for 4m, 14 deckies unknown  decnet host get edge-1",
  ],
  [
    "is silent, and had lost its engine before",
    { state: HostState.UNREACHABLE, lastSeen: timestampFromMs(now - 240_000), message: "its engine does not answer: no socket" },
    "  ? host  edge-1  silent for 4m, 0 deckies unknown  decnet host get edge-1",
  ],
  [
    "has lost its engine",
    { message: "its engine does not answer: connect ENOENT /var/run/docker.sock" },
    "  ! host  edge-1  its engine does not answer: connect ENOENT /var/run/docker.sock  decnet host get edge-1",
  ],
  [
    "has lost its disk, and with it what it had to say",
    { message: "7 reports were lost while it was away" },
    "  ! host  edge-1  7 reports were lost while it was away  decnet host get edge-1",
  ],
  [
    "says what a terminal must not hear",
    { message: "its engine does not answer: \u001b[2Jgone" },
    "  ! host  edge-1  its engine does not answer: \\x1b[2Jgone  decnet host get edge-1",
  ],
  [
    "is drained",
    { draining: true, deckies: { running: 2 } },
    "  ↻ host  edge-1  draining, 2 deckies left  decnet host activate edge-1",
  ],
])("has one line for a host that %s", (_, more, line) => {
  expect(rows({ hosts: [host(more)] })).toEqual([line]);
});

it("says of a decky that runs what is still to be removed of it, and why it is not", () => {
  const message = "still has to be removed from edge-2: it does not stop; tried again at 2026-11-24T03:01:00.000Z";
  const decky = create(DeckySchema, {
    ...{ ref: { name: "web" }, state: DeckyState.DEGRADED, message, observedAt: timestampFromMs(now - 1_000) },
  });
  expect(rows({ counts: { degraded: 1 }, troubled: [decky] })).toEqual([
    `  ! degraded  web  ${message} (seen 1s ago)  decnet decky get web`,
  ]);
});

it.each<[string, MessageInitShape<typeof GetBusResponseSchema>, string[]]>([
  ["that is not there", {}, []],
  ["that is well", { configured: true, waiting: 3 }, []],
  [
    "that does not take events",
    {
      ...{ configured: true, late: true, waiting: 1_204, oldestWaiting: timestampFromMs(now - 240_000) },
      ...{ trouble: "no broker answers", next: "Start the brokers." },
    },
    ["  ! bus  late  1,204 events wait, the oldest since 4m: no broker answers  Start the brokers."],
  ],
  [
    "whose commands cannot be read",
    { configured: true, commandsTrouble: "not allowed", commandsNext: "Allow it." },
    ["  ! bus  commands  wait: not allowed  Allow it."],
  ],
  [
    "that was away for too long",
    { configured: true, dropped: 12n, lastDropped: timestampFromMs(now - 60_000) },
    ["  × bus  lost  12 events went before the bus had them, 60s ago"],
  ],
])("says of a bus %s what there is to say", (_, more, lines) => {
  expect(rows({ bus: create(GetBusResponseSchema, more) })).toEqual(lines);
});
