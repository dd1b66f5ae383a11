import type { StoredService } from "../deckies/types.ts";
import { Deckies, type DeckyRow } from "../persistence/tables.ts";
import type { MasterParts } from "./parts.ts";
import { parseFilter } from "./requests.ts";

const filterKeys = ["name", "state", "host", "service", "archetype", "distro"];

/** Deckies that fit a filter such as `state!=running,host=edge-*`, by name. Throws REQUEST_INVALID for a bad filter. */
export async function findDeckies(
  { database, deckies }: Pick<MasterParts, "database" | "deckies">,
  filter: string,
): Promise<{ readonly row: DeckyRow; readonly services: readonly StoredService[] }[]> {
  const matches = parseFilter(filter, filterKeys);
  const { rows, services } = await database.read(async (tx) => {
    const found = await tx.getRepository(Deckies).find({ order: { scope: "ASC", name: "ASC" } });
    return { rows: found, services: await deckies.desiredServices(tx, found) };
  });
  return rows
    .map((row) => ({ row, services: services.get(row.id) ?? [] }))
    .filter(({ row, services: present }) =>
      matches({
        name: [row.name],
        state: [row.state],
        host: [row.host],
        service: present.map((service) => service.slug),
        archetype: [row.identity.archetype],
        distro: [row.identity.distro],
      }),
    );
}
