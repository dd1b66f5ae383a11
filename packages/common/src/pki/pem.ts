type Label = "CERTIFICATE" | "CERTIFICATE REQUEST";

export function toPem(label: Label, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** The bytes of a text that is one PEM block with this label. Throws when it is anything else. */
export function parsePem(label: Label, text: string): Buffer {
  const [, base64] = new RegExp(`^-----BEGIN ${label}-----([\\w+/=\\s]+)-----END ${label}-----$`).exec(text.trim()) ?? [];
  if (base64 === undefined) throw new Error(`not one block of ${label}`);
  return Buffer.from(base64, "base64");
}
