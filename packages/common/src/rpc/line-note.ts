/**
 * What the two ends of an agent's connection tell each other in the eight bytes of a ping: HTTP/2 leaves them to its users,
 * and a ping is sent anyway, so it costs no call.
 */
export type LineNote =
  /** The agent's last whole drift check began so long ago. */
  | { readonly kind: "checked"; readonly msAgo: number }
  /** The master has something to tell: the agent is to make its next report now. */
  | { readonly kind: "report-now" };

/** Pings of others hold anything else. */
const mark = 0x646b6e;
const kinds = { checked: 1, "report-now": 2 } as const;
const most = 0xffff_ffff;

export function formatLineNote(note: LineNote): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUIntBE(mark, 0, 3);
  bytes.writeUInt8(kinds[note.kind], 3);
  bytes.writeUInt32BE(note.kind === "checked" ? Math.min(Math.max(0, Math.round(note.msAgo)), most) : 0, 4);
  return bytes;
}

export function parseLineNote(bytes: Buffer): LineNote | undefined {
  if (bytes.length !== 8 || bytes.readUIntBE(0, 3) !== mark) return undefined;
  switch (bytes.readUInt8(3)) {
    case kinds.checked:
      return { kind: "checked", msAgo: bytes.readUInt32BE(4) };
    case kinds["report-now"]:
      return { kind: "report-now" };
    default:
      return undefined;
  }
}
