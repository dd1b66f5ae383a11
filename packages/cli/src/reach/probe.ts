import net from "node:net";
import tls from "node:tls";
import type { Address } from "./address.ts";
import { lookAt } from "./trust.ts";
import { Unreachable } from "./unreachable.ts";

/** What is asked: an address, what is trusted there, and how the user calls it. */
export interface Target {
  readonly address: Address;
  readonly tls: tls.ConnectionOptions;
  /** The name of a context, for commands that are advised; undefined for a bare address. */
  readonly context: string | undefined;
  readonly trusts: string | undefined;
}

const preface = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  // An empty SETTINGS frame.
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);
const settingsFrame = 4;

/**
 * Why no master can be talked to at an address; undefined when something speaks HTTP/2 there. Sends a greeting and nothing
 * else, least of all a token.
 */
export async function probe(target: Target, ms: number): Promise<Unreachable | undefined> {
  const { address } = target;
  try {
    const first = await greet(target, ms);
    if (first[3] === settingsFrame && first.length >= 9) return undefined;
    if (address.isTls || !(await speaksTls(address, ms))) return explainAnswer(address, first);
    return tlsNeeded(address);
  } catch (error) {
    if (error instanceof Silence) return silent(address, error.isConnected, ms);
    const { code = "", message } = error instanceof Error ? (error as NodeJS.ErrnoException) : { message: String(error) };
    if (!address.isTls && (code === "ECONNRESET" || code === "EPIPE" || code === "HUNG_UP") && (await speaksTls(address, ms)))
      return tlsNeeded(address);
    return explainCode(target, code, message, ms);
  }
}

class Silence extends Error {
  readonly isConnected: boolean;
  constructor(isConnected: boolean) {
    super("no answer");
    this.isConnected = isConnected;
  }
}

/** The first bytes that come back. */
function greet({ address, tls: options }: Target, ms: number): Promise<Buffer> {
  const { host, port, isTls } = address;
  return new Promise((resolve, reject) => {
    const servername = net.isIP(host) === 0 ? { servername: host } : {};
    let isConnected = false;
    const socket = isTls
      ? tls.connect({ host, port, ALPNProtocols: ["h2"], ...servername, ...options })
      : net.connect({ host, port });
    const end = (act: () => void) => {
      clearTimeout(timer);
      socket.removeAllListeners().on("error", () => undefined);
      socket.destroy();
      act();
    };
    const timer = setTimeout(() => end(() => reject(new Silence(isConnected))), ms);
    const leave = () => end(() => reject(Object.assign(new Error("it hung up"), { code: "HUNG_UP" })));
    socket.once("error", (error) => end(() => reject(error)));
    socket.once("close", leave).once("end", leave);
    socket.once("connect", () => {
      isConnected = true;
    });
    socket.once(isTls ? "secureConnect" : "connect", () => socket.write(preface));
    let got = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      got = Buffer.concat([got, chunk]);
      if (got.length >= 9) end(() => resolve(got));
    });
  });
}

async function speaksTls(address: Address, ms: number): Promise<boolean> {
  return lookAt(address, ms).then(
    () => true,
    () => false,
  );
}

function tlsNeeded({ host, port }: Address): Unreachable {
  const url = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  return new Unreachable(`${host}:${port} speaks TLS, and the address says http://`, [
    `Use https: decnet context add NAME --address ${url} --token-file FILE`,
  ]);
}

function explainAnswer({ url }: Address, first: Buffer): Unreachable {
  const what = first.subarray(0, 5).toString("latin1") === "HTTP/" ? "a web server" : "something";
  return new Unreachable(`${what} answers at ${url}, but it is no decnet master (it does not speak HTTP/2)`, [
    "Check host and port: a master listens on 7440 (http, on its own machine) and on 7443 (https)",
  ]);
}

function silent({ url }: Address, isConnected: boolean, ms: number): Unreachable {
  const seconds = Math.round(ms / 1_000);
  return isConnected
    ? new Unreachable(`${url} takes connections but has said nothing for ${seconds}s: it hangs, or it is no decnet master`, [
        "On the master's machine: look at its log and its process; then try again",
      ])
    : new Unreachable(`nothing came back from ${url} within ${seconds}s`, [
        "Check the address, the route and the firewalls between here and there",
      ]);
}

const plainly: Readonly<Record<string, (address: Address) => Unreachable>> = {
  ECONNREFUSED: ({ url }) =>
    new Unreachable(`no master listens at ${url}: connection refused`, [
      "decnet doctor",
      "Is it another port? Does the master run? On its machine: ./decnet up",
    ]),
  ENOTFOUND: ({ url, host }) =>
    new Unreachable(`${url}: there is no host ${JSON.stringify(host)}`, [
      "Check the spelling, and that this machine resolves it",
    ]),
  EAI_AGAIN: ({ url, host }) =>
    new Unreachable(`${url}: the name ${JSON.stringify(host)} cannot be resolved now`, ["Check this machine's name servers"]),
  EHOSTUNREACH: ({ url }) => new Unreachable(`no route to ${url}`, ["Check the route and the firewalls between here and there"]),
  ENETUNREACH: ({ url }) => new Unreachable(`no route to the network of ${url}`, ["Check this machine's routes and addresses"]),
  ETIMEDOUT: ({ url }) => new Unreachable(`${url} does not answer`, ["Check the route and the firewalls between here and there"]),
  HUNG_UP: hungUp,
  ECONNRESET: hungUp,
  EPIPE: hungUp,
};

function hungUp({ url }: Address): Unreachable {
  return new Unreachable(`${url} hangs up at once: it is no decnet master, or one that is just ending`, ["decnet doctor"]);
}

const noTls = /EPROTO|WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|RECORD_TOO_LONG|HTTP_REQUEST|ERR_SSL_(?!TLSV)/;
const notTrusted = /SELF_SIGNED|UNABLE_TO|CERT_|ALTNAME|INVALID_CA|INVALID_PURPOSE/;

async function explainCode(target: Target, code: string, message: string, ms: number): Promise<Unreachable> {
  const { address } = target;
  if (address.isTls && notTrusted.test(code)) return explainTrust(target, code, message, ms);
  if (address.isTls && /worker, not of a master/.test(message)) return explainTrust(target, code, message, ms);
  if (address.isTls && noTls.test(code))
    return new Unreachable(`${address.host}:${address.port} does not speak TLS, and the address says https://`, [
      `Use http on the master's own machine: --address http://127.0.0.1:${address.port}; elsewhere the master's TLS port, 7443`,
    ]);
  return plainly[code]?.(address) ?? new Unreachable(`${address.url} cannot be reached: ${message}`, ["decnet doctor"]);
}

/** Its certificate is not one that is trusted here: which one it is, and what the user can do about it. */
async function explainTrust(target: Target, code: string, message: string, ms: number): Promise<Unreachable> {
  const { address, trusts, context } = target;
  const shown = await lookAt(address, ms).catch(() => undefined);
  const refuse = (text: string, next: string[]) => new Unreachable(text, next, "MASTER_NOT_TRUSTED");
  if (/EXPIRED|NOT_YET_VALID/.test(code))
    return refuse(`the certificate of ${address.url} is not valid now (${message})`, [
      "Compare the clocks of both machines; the master renews its certificate by itself",
    ]);
  const found = shown?.fingerprint ?? "unknown";
  if (trusts !== undefined && shown?.fingerprint !== trusts) {
    const name = context ?? "NAME";
    return refuse(
      `${address.url} shows another certificate authority than the one that is trusted: ${found}, not ${trusts}. ` +
        "Somebody else may answer there, or the master was set up again; no token was sent",
      [
        "Compare on the master: openssl x509 -noout -fingerprint -sha256 -in /var/lib/decnet/master/pki/ca.pem",
        `If it is right: decnet context remove ${name}; decnet context add ${name} --address ${address.url} --token-file FILE`,
      ],
    );
  }
  if (trusts !== undefined) return refuse(`the certificate of ${address.url} does not fit: ${message}`, ["decnet doctor"]);
  return refuse(`the certificate of ${address.url} is signed by nobody that is trusted here (${found}); no token was sent`, [
    `decnet context add NAME --address ${address.url} --token-file FILE`,
    "Or name its authority: --ca FILE; on the master it is /var/lib/decnet/master/pki/ca.pem",
  ]);
}
