import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import { readCertificate } from "@decnet/common/pki/certificates";
import { writeFileAtomically } from "@decnet/common/runtime/atomic-file";
import { readKeyFile } from "@decnet/common/runtime/key-file";
import { version } from "@decnet/common/version";
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
  format: z.number().optional(),
  /** By which the key of its fingerprints is known again; absent until the agent ran once. */
  fingerprintCheck: z.string().optional(),
});

/** Who this worker is. The private key was made here and never leaves. */
export interface AgentIdentity extends Omit<z.infer<typeof schema>, "keyFile" | "format"> {
  readonly keyPem: string;
}

const identityFile = "identity.json";
/** Of the state folder as a whole; rises when an earlier agent could not read it any more. */
const format = 1;

/**
 * Who this worker is, checked as a whole: the key is the certificate's, the certificate this host's and of the authority beside
 * it. Undefined on a machine that has not joined. Errors: IDENTITY_UNUSABLE, KEY_FILE_UNUSABLE, VERSION_TOO_OLD.
 */
export async function readIdentity(stateDir: string): Promise<AgentIdentity | undefined> {
  const file = join(stateDir, identityFile);
  const text = await readKeyFile(file, "secret");
  if (text === undefined) return undefined;
  const { keyFile, format: _, ...identity } = parseIdentity(file, text);
  const keyPath = join(stateDir, keyFile);
  const keyPem = await readKeyFile(keyPath, "secret");
  if (keyPem === undefined) throw unusable(keyPath, "is missing: the key of this worker's certificate");
  checkCertificate(file, identity);
  try {
    if (!new X509Certificate(identity.certificate).checkPrivateKey(createPrivateKey(keyPem)))
      throw unusable(keyPath, "is not the key of this worker's certificate");
  } catch (error) {
    throw error instanceof AppError ? error : unusable(keyPath, "is damaged: it holds no private key", error);
  }
  return { ...identity, keyPem: `${keyPem}\n` };
}

function parseIdentity(file: string, text: string): z.infer<typeof schema> {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw unusable(file, "is damaged: it is no JSON", error);
  }
  const later = z.object({ format: z.number().min(format + 1), version: z.string().default("") }).safeParse(content);
  if (later.success)
    throw new AppError(
      "VERSION_TOO_OLD",
      `${file} is of a later version, ${later.data.version || "which it does not name"} (format ${later.data.format}); this is ` +
        `${version}, and knows format ${format}`,
      { metadata: later.data.version === "" ? {} : { version: later.data.version } },
    );
  const parsed = schema.safeParse(content);
  if (parsed.success) return parsed.data;
  throw unusable(
    file,
    `is damaged: ${parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ")}`,
  );
}

function checkCertificate(file: string, identity: Omit<AgentIdentity, "keyPem">): void {
  const { hostId, hostName, installation, certificate, caCertificate } = identity;
  try {
    const authority = new X509Certificate(caCertificate);
    if (!authority.ca || !new X509Certificate(certificate).verify(authority.publicKey))
      throw unusable(file, "is damaged: its certificate is not of the authority that stands beside it");
    const named = readCertificate(certificate).identity;
    if (named?.role !== "agent" || named.hostId !== hostId || named.installation !== installation)
      throw unusable(file, `holds a certificate of another host than ${hostName} (${hostId})`);
  } catch (error) {
    throw error instanceof AppError ? error : unusable(file, "is damaged: it holds no certificate", error);
  }
}

function unusable(file: string, what: string, cause?: unknown): AppError {
  return new AppError("IDENTITY_UNUSABLE", `${file} ${what}`, { metadata: { lost_file: file }, cause });
}

/**
 * A key has a file of its own that the identity names: whenever the agent ends, there is the old key with the old
 * certificate, or the new pair.
 */
export async function writeIdentity(stateDir: string, { keyPem, ...identity }: AgentIdentity): Promise<void> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const keyFile = `key-${createHash("sha256").update(keyPem).digest("hex").slice(0, 16)}.pem`;
  const content = { format, version, ...identity, keyFile };
  await writeFileAtomically(join(stateDir, keyFile), keyPem, 0o600);
  await writeFileAtomically(join(stateDir, identityFile), `${JSON.stringify(content, null, 1)}\n`, 0o600);
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
