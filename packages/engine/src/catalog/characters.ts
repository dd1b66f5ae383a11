/** Controls, line separators, what is no character, halves of a pair: no server shows them as they are. */
export const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Noncharacter_Code_Point}]/u;

/** What no text file holds; all other bytes arrive as they were given. */
export const unwritable = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\p{Cs}]/u;

/** A number that was read from a document, as text; undefined for one that may have been written in another way. */
export function numberAsText(value: number): string | undefined {
  return Number.isSafeInteger(value) && !Object.is(value, -0) ? String(value) : undefined;
}
