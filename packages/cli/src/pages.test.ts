import { expect, it } from "vitest";
import { readPages } from "./pages.ts";

/** A list that is given in pages of two. */
function pagesOf(items: readonly number[]) {
  const asked: string[] = [];
  const read = async (pageToken: string) => {
    asked.push(pageToken);
    const from = Number(pageToken || "0");
    return { items: items.slice(from, from + 2), nextPageToken: from + 2 < items.length ? String(from + 2) : "" };
  };
  return { asked, read };
}

it.each([
  ["an empty list is one page", [], [""]],
  ["one full page is asked for once", [1, 2], [""]],
  ["the last page may be a short one", [1, 2, 3, 4, 5], ["", "2", "4"]],
])("%s", async (_, items, tokens) => {
  const { asked, read } = pagesOf(items);
  expect((await readPages(read)).flatMap((page) => page.items)).toEqual(items);
  expect(asked).toEqual(tokens);
});
