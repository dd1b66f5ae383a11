import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { z } from "zod";

const schema = z.object({
  hostId: z.string(),
  hostName: z.string(),
  installation: z.string(),
  /** host:port of masters, in the order in which they are tried. */
  masters: z.array(z.string()).min(1),
  certificate: z.string(),
  caCertificate: z.string(),
  keyFile: z.string().regex(/^key-[0-9a-f]{16}\.pem$/),
});

/** Who this worker is. The private key was made here and never leaves. */
export interface AgentIdentity extends Omit<z.infer<typeof schema>, "keyFile"> {
  readonly keyPem: string;
}

const identityFile = "identity.json";

/** Undefined on a machine that has not joined. */
export async function readIdentity(stateDir: string): Promise<AgentIdentity | undefined> {
  let text: string;
  try {
    text = await readFile(join(stateDir, identityFile), "utf8");
  } catch {
    return undefined;
  }
  const { keyFile, ...identity } = schema.parse(JSON.parse(text));
  return { ...identity, keyPem: await readFile(join(stateDir, keyFile), "utf8") };
}

/**
 * A key has a file of its own that the identity names: whenever the agent ends, there is the old key with the old
 * certificate, or the new pair.
 */
export async function writeIdentity(stateDir: string, { keyPem, ...identity }: AgentIdentity): Promise<void> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const keyFile = `key-${createHash("sha256").update(keyPem).digest("hex").slice(0, 16)}.pem`;
  await writeFileAtomically(join(stateDir, keyFile), keyPem, 0o600);
  await writeFileAtomically(join(stateDir, identityFile), `${JSON.stringify({ ...identity, keyFile }, null, 1)}\n`, 0o600);
  await removeKeys(stateDir, keyFile);
}

export async function removeIdentity(stateDir: string): Promise<void> {
  await rm(join(stateDir, identityFile), { force: true });
  await removeKeys(stateDir, "");
}

async function removeKeys(stateDir: string, but: string): Promise<void> {
  for (const name of await readdir(stateDir))
    if (/^key-.*\.pem(\.new)?$/.test(name) && name !== but) await rm(join(stateDir, name), { force: true });
}
