/**
 * What a terminal obeys, a page turns round or a database refuses, but line breaks and tabs: control characters, separators of
 * lines that only some programs know, marks that change the direction of text, and code points that are no characters.
 */
const unprintable =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff]/g;

/** Most text is of these characters alone, and stays as it is. */
const plain = /^[\u0020-\u007e]*$/;

/**
 * Text that another machine sent, as it may be stored and shown: what is unprintable becomes "?", halves of characters become
 * U+FFFD.
 */
export function cleanText(text: string, most = Number.POSITIVE_INFINITY): string {
  const cut = text.length > most ? text.slice(0, most) : text;
  if (plain.test(cut)) return cut;
  return Buffer.from(cut.replaceAll("\r\n", "\n").replaceAll(unprintable, "?"), "utf8").toString("utf8");
}

/** The same on one line: a line break that somebody else chose would begin a line that looks like one of ours. */
export function cleanLine(text: string, most = Number.POSITIVE_INFINITY): string {
  const clean = cleanText(text, most);
  return clean.includes("\n") || clean.includes("\t") ? clean.replaceAll(/[\n\t]/g, " ") : clean;
}

/** The same as evidence: nothing is lost, what is unprintable is written as its number. */
export function escapeLine(text: string, most = Number.POSITIVE_INFINITY): string {
  const cut = text.length > most ? text.slice(0, most) : text;
  const escaped = cut.replaceAll(/\r$/g, "").replaceAll(unprintable, escapeOf).replaceAll("\n", "\\x0a");
  return Buffer.from(escaped.slice(0, most), "utf8").toString("utf8");
}

function escapeOf(character: string): string {
  const code = character.charCodeAt(0).toString(16);
  return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`;
}
