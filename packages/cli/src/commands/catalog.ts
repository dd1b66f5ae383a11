import {
  GetServiceResponseSchema,
  ListArchetypesResponseSchema,
  ListDistrosResponseSchema,
  ListServicesResponseSchema,
} from "@decnet/contract/gen/decnet/v1/catalog_pb";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { reading, show } from "../flags.ts";
import type { ReadFlags } from "../read-flags.ts";
import { formatArchetypes, formatCatalog, formatDistros, formatEntry } from "../text/catalog.ts";

/** `decnet catalog …` */
export function registerCatalog(program: Command, cli: Cli): void {
  const catalog = program.command("catalog").description("The decoy services on offer.");
  reading(catalog.command("list").description("Services that a decky can have."), {
    examples: ["catalog list", "catalog list -o name", "catalog list --json"],
    rpc: "CatalogService/ListServices",
  }).action((flags: ReadFlags) =>
    cli.withConnection(async (connection) => {
      const found = await connection.catalog.listServices({});
      show(flags, ListServicesResponseSchema, found, () => formatCatalog(found.services));
      return undefined;
    }),
  );
  reading(catalog.command("get <slug>").description("One service with its settings."), {
    examples: ["catalog get ssh", "catalog get http --json", "catalog get redis -o yaml"],
    rpc: "CatalogService/GetService",
    body: '{"slug":"ssh"}',
  }).action((slug: string, flags: ReadFlags) =>
    cli.withConnection(async (connection) => {
      const found = await connection.catalog.getService({ slug });
      show(flags, GetServiceResponseSchema, found, () => (found.service === undefined ? "" : formatEntry(found.service)));
      return undefined;
    }),
  );
  reading(catalog.command("archetypes").description("Ready-made sets of services."), {
    examples: ["catalog archetypes", "catalog archetypes -o name", "catalog archetypes --json"],
    rpc: "CatalogService/ListArchetypes",
  }).action((flags: ReadFlags) =>
    cli.withConnection(async (connection) => {
      const found = await connection.catalog.listArchetypes({});
      show(flags, ListArchetypesResponseSchema, found, () => formatArchetypes(found.archetypes));
      return undefined;
    }),
  );
  reading(catalog.command("distros").description("What a decky can look like from inside."), {
    examples: ["catalog distros", "catalog distros -o name", "catalog distros --json"],
    rpc: "CatalogService/ListDistros",
  }).action((flags: ReadFlags) =>
    cli.withConnection(async (connection) => {
      const found = await connection.catalog.listDistros({});
      show(flags, ListDistrosResponseSchema, found, () => formatDistros(found.distros));
      return undefined;
    }),
  );
}
