import { setTimeout as delay } from "node:timers/promises";
import { clockSkewMs, createKeyAndCsr, readCertificate } from "@decnet/common/pki/certificates";
import type { AgentIdentity } from "../identity.ts";
import type { MasterClient } from "./master-client.ts";

const renewMs = 15_000;
/** A clock that is set meanwhile is noticed after this. */
const longestSleepMs = 60_000;

/** Waits for two thirds of the certificate's life, then gets a new key certified. Undefined when the connection ended before. */
export async function renewInTime(
  client: MasterClient,
  identity: AgentIdentity,
  instanceId: string,
  signal: AbortSignal,
): Promise<AgentIdentity | undefined> {
  const { notBefore, notAfter } = readCertificate(identity.certificate);
  const lifeMs = notAfter.getTime() - notBefore.getTime() - clockSkewMs;
  const dueAt = notAfter.getTime() - lifeMs / 3;
  for (let left = dueAt - Date.now(); left > 0; left = dueAt - Date.now()) {
    await delay(Math.min(left, longestSleepMs), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return undefined;
  }
  const { keyPem, csrPem } = await createKeyAndCsr({ commonName: identity.hostName });
  const { certificate } = await client.enrollment.renewCertificate({ csr: csrPem, instanceId }, { timeoutMs: renewMs, signal });
  return { ...identity, keyPem, certificate };
}
