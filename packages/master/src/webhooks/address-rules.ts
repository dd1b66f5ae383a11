import { lookup as systemLookup } from "node:dns";
import net from "node:net";
import { isSpecialAddress } from "./special-addresses.ts";

/** Where requests may go, whatever a name resolves to at that moment. */
export interface AddressRules {
  /** Why no request goes to this URL; undefined when one may. A name is looked at again when it is resolved. */
  refuse(url: URL): string | undefined;
  /** For sockets: resolves a name to what of its addresses is allowed. */
  readonly lookup: net.LookupFunction;
}

/** `dns.lookup` with `all`. */
export type Resolve = (
  host: string,
  options: { readonly all: true; readonly family?: number | "IPv4" | "IPv6" | undefined; readonly hints?: number | undefined },
  callback: (error: NodeJS.ErrnoException | null, addresses: readonly { address: string; family: number }[]) => void,
) => void;

/** Hosts that are allowed by name may be anywhere, and be spoken to without TLS. */
export function createAddressRules(allowed: ReadonlySet<string>, resolve: Resolve = systemLookup): AddressRules {
  return {
    refuse(url) {
      const host = hostOf(url);
      if (url.protocol !== "https:" && url.protocol !== "http:") return `${url.protocol} is no protocol for it`;
      if (url.username !== "" || url.password !== "") return "it has a user or a password in it";
      if (allowed.has(host)) return undefined;
      if (url.protocol === "http:") return `http:// is only for hosts that the master's settings allow, and ${host} is none`;
      if (net.isIP(host) !== 0 && isSpecialAddress(host)) return notAllowed(host, host);
      return undefined;
    },
    lookup(host, options, callback) {
      const { family, hints } = options;
      resolve(host, { all: true, family, hints }, (error, addresses) => {
        if (error !== null) return callback(error, []);
        const isAllowed = allowed.has(host.toLowerCase());
        const fit = addresses.filter(({ address }) => isAllowed || !isSpecialAddress(address));
        const [first] = fit;
        if (first === undefined) {
          const why = notAllowed(host, addresses.map(({ address }) => address).join(", "));
          return callback(Object.assign(new Error(why), { code: "EADDRNOTALLOWED" }), []);
        }
        if (options.all === true) callback(null, [...fit]);
        else callback(null, first.address, first.family);
      });
    },
  };
}

/** A name in lower case, or an address without brackets, written in the usual way. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();
}

function notAllowed(host: string, addresses: string): string {
  const is = host === addresses ? `${host} is` : `${host} is at ${addresses}, which is`;
  return `${is} not on the internet; the master's setting DECNET_WEBHOOK_ALLOW allows hosts by name`;
}
