import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isInteractive, remark } from "../output.ts";
import { ask } from "../prompts.ts";
import type { Address } from "../reach/address.ts";
import { lookAt, type Shown, sameFingerprint } from "../reach/trust.ts";
import { Unreachable } from "../reach/unreachable.ts";
import { UsageError } from "../usage-error.ts";

const lookMs = 5_000;

/**
 * Trust on first use: shows the fingerprint of what the master presents, and believes it when the user says so, or named the
 * same fingerprint. Returns the PEM to keep; undefined when this machine trusts the master already. No token is sent.
 */
export async function trustFirst(address: Address, expected: string | undefined): Promise<string | undefined> {
  const shown = await lookAt(address, lookMs).catch((error: unknown) => {
    throw new Unreachable(
      `${address.url} shows no certificate: ${error instanceof Error ? error.message : String(error)}; nothing was stored`,
      [
        "Check host and port: the TLS port of a master is 7443",
        "decnet host list, on the master, says whether its TLS port is open",
      ],
    );
  });
  if (expected !== undefined) {
    if (sameFingerprint(shown.fingerprint, expected)) return shown.pem;
    throw new Unreachable(
      `${address.url} shows ${shown.fingerprint}, not ${expected}; nothing was stored`,
      ["Find out what answers there before you go on"],
      "MASTER_NOT_TRUSTED",
    );
  }
  if (shown.isKnown) return undefined;
  remark(describe(address, shown));
  if (!isInteractive())
    throw new UsageError(
      `needs --fingerprint ${shown.fingerprint}, when it is the right one, or --ca FILE; nothing was stored, no token was sent`,
    );
  if (/^y(es)?$/i.test(await ask("Is it the same? Trust it from now on? [y/N] "))) return shown.pem;
  throw new UsageError("not trusted; nothing was stored");
}

function describe({ url }: Address, { fingerprint, subject, notAfter, isMaster }: Shown): string {
  return [
    `${url} presents ${isMaster ? "the certificate authority of a decnet installation" : "a certificate"}: ${subject}`,
    `  ${fingerprint}`,
    `  valid until ${notAfter.toISOString().slice(0, 10)}`,
    "Compare on the master:",
    "  openssl x509 -noout -fingerprint -sha256 -in /var/lib/decnet/master/pki/ca.pem",
  ].join("\n");
}

/** Keeps an authority beside the contexts file, and returns where. */
export function keepAuthority(contextFile: string, name: string, pem: string): string {
  const path = join(dirname(contextFile), "ca", `${name}.pem`);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, pem, { mode: 0o600 });
  return path;
}
