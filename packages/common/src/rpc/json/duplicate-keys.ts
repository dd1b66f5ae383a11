import { atOnce, type Sliced } from "../../runtime/slices.ts";

/** More of them tell nobody anything. */
const mostFound = 20;
const eachTurn = 2_000;

/** Paths of the keys that an object of this text has twice; JSON.parse keeps the last one in silence. The text is valid JSON. */
export function* findDuplicateKeys(text: string): Sliced<string[][]> {
  const found: string[][] = [];
  const open: { readonly keys: Set<string> | undefined; at: string | number }[] = [];
  let expectsKey = false;
  let sinceTurn = 0;
  for (let index = 0; index < text.length; index += 1) {
    if (found.length >= mostFound) break;
    sinceTurn += 1;
    if (sinceTurn >= eachTurn) {
      sinceTurn = 0;
      yield;
    }
    const innermost = open.at(-1);
    switch (text[index]) {
      case "{":
        open.push({ keys: new Set(), at: "" });
        expectsKey = true;
        break;
      case "[":
        open.push({ keys: undefined, at: 0 });
        expectsKey = false;
        break;
      case "}":
      case "]":
        open.pop();
        expectsKey = false;
        break;
      case ",":
        expectsKey = innermost?.keys !== undefined;
        if (typeof innermost?.at === "number") innermost.at += 1;
        break;
      case '"': {
        const end = endOfString(text, index);
        if (expectsKey && innermost?.keys !== undefined) {
          const key = JSON.parse(text.slice(index, end + 1)) as string;
          innermost.at = key;
          if (innermost.keys.has(key)) found.push(open.map(({ at }) => String(at)));
          innermost.keys.add(key);
          expectsKey = false;
        }
        index = end;
        break;
      }
      default:
    }
  }
  return found;
}

/** Of the closing quote. A quote after an odd number of backslashes is part of the string. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text[end - 1 - backslashes] === "\\") backslashes += 1;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

/** The same at once, of a short text. */
export function duplicateKeys(text: string): string[][] {
  return atOnce(findDuplicateKeys(text));
}
