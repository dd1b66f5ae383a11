import { mkdir, readFile, rm } from "node:fs/promises";
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
});

/** Who this worker is. The private key was made here and never leaves. */
export interface AgentIdentity extends z.infer<typeof schema> {
  readonly keyPem: string;
}

const keyFile = "key.pem";
const identityFile = "identity.json";

/** Undefined on a machine that has not joined. */
export async function readIdentity(stateDir: string): Promise<AgentIdentity | undefined> {
  let text: string;
  try {
    text = await readFile(join(stateDir, identityFile), "utf8");
  } catch {
    return undefined;
  }
  return { ...schema.parse(JSON.parse(text)), keyPem: await readFile(join(stateDir, keyFile), "utf8") };
}

/** The key goes first: an identity without its key would be of no use. */
export async function writeIdentity(stateDir: string, { keyPem, ...identity }: AgentIdentity): Promise<void> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  await writeFileAtomically(join(stateDir, keyFile), keyPem, 0o600);
  await writeFileAtomically(join(stateDir, identityFile), `${JSON.stringify(identity, null, 1)}\n`, 0o600);
}

export async function removeIdentity(stateDir: string): Promise<void> {
  await rm(join(stateDir, identityFile), { force: true });
  await rm(join(stateDir, keyFile), { force: true });
}
