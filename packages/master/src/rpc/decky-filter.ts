import { type FilterConditions, listRows } from "../store/list-rows.ts";
import { Deckies } from "../store/tables.ts";
import type { MasterParts } from "./parts.ts";
import { parseFilter } from "./requests.ts";

/** What a filter of deckies such as `state!=running,host=edge-*` can name. */
export const deckyConditions: FilterConditions = {
  name: (comparison) => `decky.name ${comparison}`,
  state: (comparison) => `decky.state ${comparison}`,
  host: (comparison) => `decky.host ${comparison}`,
  service: (comparison) =>
    `EXISTS (SELECT FROM decky_revisions AS wanted, jsonb_array_elements(wanted.services) AS service
      WHERE wanted.decky_id = decky.id AND wanted.number = decky.desiredRevision AND service ->> 'slug' ${comparison})`,
  archetype: (comparison) => `decky.identity ->> 'archetype' ${comparison}`,
  distro: (comparison) => `decky.identity ->> 'distro' ${comparison}`,
};

/** Names of the deckies that fit a filter, in order; at most `most`. Throws REQUEST_INVALID for a bad filter. */
export async function selectDeckyNames(
  { database }: Pick<MasterParts, "database">,
  filter: string,
  most: number,
): Promise<string[]> {
  const terms = parseFilter(filter, deckyConditions);
  const page = { size: most, offset: 0 };
  const { rows } = await database.read((tx) => {
    const query = tx.getRepository(Deckies).createQueryBuilder("decky").orderBy({ "decky.scope": "ASC", "decky.name": "ASC" });
    return listRows(query, { terms, conditions: deckyConditions, page, countBy: "decky.state" });
  });
  return rows.map((row) => row.name);
}
