import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createAsyncIterable } from "@connectrpc/connect/protocol";
import { type CertificateAuthority, createKeyAndCsr } from "@decnet/common/pki/certificates";
import { type ClientTransport, createClientTransport } from "@decnet/common/rpc/client";

/** Kept connections to other masters, with a certificate that says that this is a master. */
export interface PeerTransports {
  /**
   * For one host of the master at these addresses, of which the first is used that leads to it. Calls may be repeated: one that
   * did not get there is made again.
   */
  to(addresses: readonly string[], host: string): Transport;
  close(): void;
}

/** Which host a call is about. */
export const hostHeader = "decnet-host";

const ttlMs = 90 * 86_400_000;
const mostKept = 64;

export async function createPeerTransports(authority: CertificateAuthority, installation: string): Promise<PeerTransports> {
  const issue = async () => {
    const { keyPem, csrPem } = await createKeyAndCsr({ commonName: "decnet master" });
    const { certPem } = await authority.issueMaster({ csrPem, names: [], ttlMs, now: new Date(), purpose: "client" });
    return { keyPem, certPem, until: Date.now() + ttlMs / 2 };
  };
  let own = await issue();
  const kept = new Map<string, ClientTransport>();
  const closeAll = () => {
    for (const { close } of kept.values()) close();
    kept.clear();
  };
  const open = (address: string): Transport => {
    const known = kept.get(address);
    if (known !== undefined) return known.transport;
    if (kept.size >= mostKept) closeAll();
    const made = createClientTransport({
      address: `https://${address}`,
      token: "",
      tls: {
        ...own,
        caPem: authority.certPem,
        anyName: true,
        checkIdentity: ({ identity }) =>
          identity?.role === "master" && identity.installation === installation
            ? undefined
            : new Error("the other side is not a master of this installation"),
      },
    });
    kept.set(address, made);
    return made.transport;
  };
  return {
    to(addresses, host) {
      if (Date.now() > own.until) {
        own = { ...own, until: Number.POSITIVE_INFINITY };
        void issue().then((fresh) => {
          own = fresh;
          closeAll();
        });
      }
      return aboutHost(
        addresses.map((address) => () => open(address)),
        host,
      );
    },
    close: closeAll,
  };
}

function aboutHost(ways: readonly (() => Transport)[], host: string): Transport {
  const withHost = (header: ConstructorParameters<typeof Headers>[0]) => {
    const headers = new Headers(header);
    headers.set(hostHeader, host);
    return headers;
  };
  const onOne = async <T>(call: (transport: Transport) => Promise<T>): Promise<T> => {
    for (const [at, way] of ways.entries())
      try {
        return await call(way());
      } catch (error) {
        if (at === ways.length - 1 || !isNotThere(error)) throw error;
      }
    throw new ConnectError("it does not listen for other masters", Code.Unavailable);
  };
  return {
    unary: (method, signal, timeoutMs, header, ...rest) =>
      onOne((transport) => transport.unary(method, signal, timeoutMs, withHost(header), ...rest)),
    async stream(method, signal, timeoutMs, header, input, ...rest) {
      // Each way is sent all of it; what is asked of an agent is one message.
      const messages = await collect(input);
      return onOne((transport) =>
        transport.stream(method, signal, timeoutMs, withHost(header), createAsyncIterable(messages), ...rest),
      );
    },
  };
}

/** Nobody answered, or a master that does not have the host: behind NAT an address may lead to another one, or back here. */
function isNotThere(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.Unavailable;
}

async function collect<Item>(input: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of input) items.push(item);
  return items;
}
