import { execa } from "execa";
import type { Lab } from "./lab.ts";

/** A machine on the lab's network that is no host of it: nobody of ours runs there. */
export interface Outsider {
  readonly name: string;
  readonly address: string;
  /** The first line that a TCP server says, after it was told something; empty when nobody answers. */
  greetingOf(address: string, port: number, words?: string): Promise<string>;
  /** `200`, or `000` when nobody answers. */
  statusOf(address: string, port: number): Promise<string>;
  /** What comes back of a datagram; empty when nothing does. */
  echoOf(address: string, port: number, words: string): Promise<string>;
  run(file: string, ...args: string[]): Promise<string>;
  dispose(): Promise<void>;
}

const tcp = `import socket, sys
try:
  s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)
  s.settimeout(2); s.sendall(sys.argv[3].encode()); print(s.recv(200).decode().strip())
except OSError: print("")`;
const udp = `import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
try:
  s.sendto(sys.argv[3].encode(), (sys.argv[1], int(sys.argv[2]))); print(s.recv(200).decode().strip())
except OSError: print("")`;

/** A network namespace of the test's own, plugged into the switch of a lab. */
export async function useOutsider({ masterAddress, switchName }: Lab): Promise<Outsider> {
  const name = `${switchName}out`;
  const address = masterAddress.replace(/\d+$/, "201");
  const run = async (file: string, ...args: string[]) =>
    (await execa("nsenter", [`--net=/run/netns/${name}`, file, ...args], { reject: false, timeout: 10_000 })).stdout;
  await execa("ip", ["netns", "add", name]);
  await execa("ip", ["-n", switchName, "link", "add", "out", "type", "veth", "peer", "name", "eth0", "netns", name]);
  await execa("ip", ["-n", switchName, "link", "set", "dev", "out", "master", "switch", "up"]);
  for (const command of ["link set lo up", `addr add ${address}/24 dev eth0`, "link set eth0 up"])
    await execa("ip", ["-n", name, ...command.split(" ")]);
  return {
    name,
    address,
    run,
    greetingOf: async (to, port, words = "") => (await run("python3", "-c", tcp, to, String(port), words)).trim(),
    statusOf: (to, port) => run("curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", `http://${to}:${port}/`),
    echoOf: async (to, port, words) => (await run("python3", "-c", udp, to, String(port), words)).trim(),
    async dispose() {
      await execa("ip", ["netns", "del", name], { reject: false });
    },
  };
}
