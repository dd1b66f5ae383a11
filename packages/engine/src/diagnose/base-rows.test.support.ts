import type { ObservedInterfaces } from "../observe/observed.ts";
import { altered, base, other, place, type Row } from "./diagnose.test.support.ts";

const eth0 = { name: "eth0", mac: place.mac, isUp: true };
const kernel = (more: Partial<ObservedInterfaces> = {}, device: Partial<typeof eth0> = {}): ObservedInterfaces => ({
  interfaces: [{ ...eth0, ...device }],
  addresses: new Set(["10.0.0.7"]),
  ...more,
});

/** Every situation of a base, with its word, sentence and cure. */
export const baseRows: readonly Row[] = [
  ["all as wanted", {}, "running", "", ""],
  ["no container", { base: undefined }, "missing", "there is no container", "create: base is absent"],
  ["exited", { base: { status: "exited", exitCode: 137 } }, "exited", "exited with code 137", "start: base is exited"],
  ["created", { base: { status: "created" } }, "exited", "was never started", "start: base is created"],
  ["paused", { base: { status: "paused" } }, "exited", "is paused", "restart: base is paused"],
  ["dead", { base: { status: "dead" } }, "exited", "is dead", "recreate: base is dead"],
  [
    "restarting",
    { base: { status: "restarting" } },
    "restarting",
    "exited with code 0 and is being restarted",
    "restart: base is restarting",
  ],
  ["another identity", { base: { hash: "b0" } }, "outdated", other, "recreate: identity changed"],
  [
    "another identity, and exited",
    { base: { hash: "b0", status: "exited" } },
    "exited",
    "exited with code 0",
    "recreate: identity changed",
  ],
  [
    "made from an edited file by somebody else",
    { base: { traits: { ...base.traits, environment: "e2" } } },
    "outdated",
    altered,
    `recreate: ${altered}`,
  ],
  ["renamed by hand", { base: { name: "x" } }, "outdated", "is called x instead of web", "rename: is called x instead of web"],
  [
    "disconnected from its LAN",
    { base: { attachments: [] } },
    "detached",
    "is not on the network lan",
    "recreate: is not on the network lan",
  ],
  [
    "connected again at another address",
    { base: { attachments: [{ ...place, pinned: "10.0.0.9", address: "10.0.0.9" }] } },
    "detached",
    "has the address 10.0.0.9 instead of 10.0.0.7",
    "recreate: has the address 10.0.0.9 instead of 10.0.0.7",
  ],
  [
    "connected again without its MAC address",
    { base: { attachments: [{ ...place, mac: "02:42:0a:00:00:07" }] } },
    "detached",
    "has the MAC address 02:42:0a:00:00:07 instead of 00:50:56:00:00:01",
    "recreate: has the MAC address 02:42:0a:00:00:07 instead of 00:50:56:00:00:01",
  ],
  ["as the kernel says, too", { interfaces: kernel() }, "running", "", ""],
  ...(
    [
      ["no interface", kernel({ interfaces: [] }), "has no network interface"],
      [
        "another MAC address",
        kernel({}, { mac: "02:00:00:00:00:01" }),
        `has the MAC address 02:00:00:00:00:01 instead of ${place.mac}`,
      ],
      ["an interface that is down", kernel({}, { isUp: false }), "has its interface eth0 down"],
      ["no address", kernel({ addresses: new Set() }), "does not have its address 10.0.0.7"],
    ] as const
  ).map(
    ([what, interfaces, sentence]): Row => [
      `${what}, set in its namespace`,
      { interfaces },
      "detached",
      sentence,
      `recreate: ${sentence}`,
    ],
  ),
  [
    "stopped, on a network that was removed and made again",
    { base: { status: "exited", attachments: [{ ...place, networkId: "M", address: "", mac: "" }] } },
    "exited",
    "exited with code 0",
    "recreate: is on a network lan that is gone",
  ],
  [
    "stopped, and as it was made",
    { base: { status: "exited", attachments: [{ ...place, address: "", mac: "" }] } },
    "exited",
    "exited with code 0",
    "start: base is exited",
  ],
  [
    "on a foreign network, too",
    { base: { attachments: [place, { ...place, network: "bridge" }] } },
    "outdated",
    "is on the network bridge, too",
    "leave-network: the decky is on no other LAN",
  ],
];
