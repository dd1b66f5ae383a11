/** Everything that a terminal obeys or a database refuses, but line breaks and tabs. */
const unprintable = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/**
 * Text that another machine sent, as it may be stored and shown: control characters and halves of characters become "?" or
 * U+FFFD.
 */
export function cleanText(text: string, most = Number.POSITIVE_INFINITY): string {
  const cut = text.length > most ? text.slice(0, most) : text;
  return Buffer.from(cut.replaceAll("\r\n", "\n").replaceAll(unprintable, "?"), "utf8").toString("utf8");
}

/** Cleans every text in a message, in place, however deep. Bytes and keys of maps stay as they are. */
export function cleanTexts(message: unknown): void {
  if (typeof message !== "object" || message === null || ArrayBuffer.isView(message)) return;
  for (const key of Object.keys(message)) {
    const value: unknown = Reflect.get(message, key);
    if (typeof value === "string") Reflect.set(message, key, cleanText(value));
    else cleanTexts(value);
  }
}
