import { execa } from "execa";

/** A machine outside, on a cable of the test's own: it is no port of the host, and every decky has a way to it. */
export interface Outside {
  readonly address: string;
  /** Of the host, on that cable. */
  readonly hostAddress: string;
  /** Runs a command there. */
  run(...command: string[]): Promise<{ readonly exitCode?: number | undefined; readonly stdout: string }>;
  /** Whether a port answers there. */
  reaches(address: string, port: number): Promise<boolean>;
  /** Packets that begin something here: what deckies, or their host, send of themselves. */
  heard(): Promise<number>;
  dispose(): Promise<void>;
}

export async function useOutside(name: string): Promise<Outside> {
  const ip = (...args: string[]) => execa("ip", args);
  const within = (...args: string[]) =>
    execa("ip", ["netns", "exec", name, ...args], { reject: false, stdin: "ignore", timeout: 20_000 });
  const third = await freeThird();
  const [host, address] = [`10.78.${third}.1`, `10.78.${third}.2`];
  const cable = `${name}-o`.slice(0, 15);
  await ip("netns", "add", name);
  await ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name);
  await ip("address", "add", `${host}/24`, "dev", cable);
  await ip("link", "set", cable, "up");
  for (const args of [
    ["address", "add", `${address}/24`, "dev", "eth0"],
    ["link", "set", "eth0", "up"],
    ["link", "set", "lo", "up"],
    ["route", "add", "default", "via", host],
  ])
    await within("ip", ...args);
  const listener = execa("ip", ["netns", "exec", name, "nc", "-lk", "-p", "8080"], { reject: false, stdin: "ignore" });
  await within(
    "nft",
    [
      "table ip heard { chain input { type filter hook input priority 0; policy accept;",
      "meta l4proto { tcp, udp, icmp } ct state new counter; }; }",
    ].join(" "),
  );
  return {
    address,
    hostAddress: host,
    run: within,
    reaches: async (to, port) => (await within("nc", "-z", "-w", "1", to, String(port))).exitCode === 0,
    async heard() {
      const { stdout } = await within("nft", "list", "table", "ip", "heard");
      return Number(/packets (\d+)/.exec(stdout)?.[1] ?? Number.NaN);
    },
    async dispose() {
      listener.kill("SIGKILL");
      await listener;
      await ip("netns", "del", name);
    },
  };
}

/** Of 10.78.0.0/16, as no address of this machine has it; tests side by side seldom begin at the same. */
async function freeThird(): Promise<number> {
  const { stdout } = await execa("ip", ["-o", "-4", "address"]);
  const taken = new Set([...stdout.matchAll(/ 10\.78\.(\d+)\./g)].map(([, third]) => Number(third)));
  const free = Array.from({ length: 240 }, (_, index) => 10 + index).filter((third) => !taken.has(third));
  const third = free[Math.floor(Math.random() * free.length)];
  if (third !== undefined) return third;
  throw new Error("every network of the tests for machines outside is taken");
}
