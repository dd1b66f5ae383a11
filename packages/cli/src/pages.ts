import type { Decky } from "@decnet/contract/gen/decnet/v1/decky_pb";
import type { Operation } from "@decnet/contract/gen/decnet/v1/operation_pb";
import type { Connection } from "./connection.ts";

/** The largest page that the master returns. */
export const pageSize = 1_000;

/** Every page of a list, in order; there is at least one. `read` gets the token of the page, "" for the first. */
export async function readPages<Page extends { readonly nextPageToken: string }>(
  read: (pageToken: string) => Promise<Page>,
): Promise<[Page, ...Page[]]> {
  const first = await read("");
  const pages: [Page, ...Page[]] = [first];
  for (let pageToken = first.nextPageToken; pageToken !== ""; ) {
    const page = await read(pageToken);
    pages.push(page);
    pageToken = page.nextPageToken;
  }
  return pages;
}

/** Every decky that fits a filter. */
export async function readDeckies({ fleet }: Connection, filter: string): Promise<Decky[]> {
  const pages = await readPages((pageToken) => fleet.listDeckies({ filter, pageSize, pageToken }));
  return pages.flatMap((page) => page.deckies);
}

/** The operations that a change of many deckies is made of. */
export async function readParts({ operations }: Connection, parent: string): Promise<Operation[]> {
  const pages = await readPages((pageToken) => operations.listOperations({ filter: `parent=${parent}`, pageSize, pageToken }));
  return pages.flatMap((page) => page.operations);
}
