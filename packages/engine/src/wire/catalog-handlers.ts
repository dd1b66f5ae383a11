import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { type CatalogService, FieldType } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import type { Catalog, ConfigField, ServiceDefinition, FieldType as TypeWord } from "../catalog/types.ts";
import { archetypes } from "../tables/archetypes.ts";
import { distros } from "../tables/distros.ts";
import { toEgressMessage } from "./egress.ts";

const types = {
  string: FieldType.STRING,
  password: FieldType.PASSWORD,
  textarea: FieldType.TEXTAREA,
  int: FieldType.INT,
  bool: FieldType.BOOL,
  enum: FieldType.ENUM,
  multi_enum: FieldType.MULTI_ENUM,
  string_list: FieldType.STRING_LIST,
} as const satisfies Record<TypeWord, FieldType>;

/** Serves a catalog: the same for master and agent. */
export function createCatalogHandlers({ catalog }: { readonly catalog: Catalog }): ServiceImpl<typeof CatalogService> {
  return {
    listServices: () => ({ services: [...catalog.services.values()].map(toEntry), digest: catalog.digest }),
    getService({ slug }) {
      const entry = catalog.services.get(slug);
      if (entry === undefined)
        throw new AppError("SERVICE_UNKNOWN", `there is no service ${JSON.stringify(slug.slice(0, 64))} in the catalog`);
      return { service: toEntry(entry) };
    },
    listArchetypes: () => ({
      archetypes: archetypes.map((archetype) => ({
        slug: archetype.slug,
        title: archetype.title,
        services: [...archetype.services],
        missingServices: archetype.services.filter((slug) => !catalog.services.has(slug)),
        distros: [...archetype.distros],
        osFamily: archetype.osFamily,
      })),
    }),
    listDistros: () => ({
      distros: distros.map(({ slug, title, image, hostnameStyle }) => ({ slug, title, image, hostnameStyle })),
    }),
  };
}

function toEntry(service: ServiceDefinition) {
  return {
    slug: service.slug,
    title: service.title,
    summary: service.summary,
    ports: service.ports.map((port) => ({ ...port })),
    singleton: service.singleton,
    fields: service.fields.map(toField),
    capabilities: [...service.capabilities],
    egress: toEgressMessage(service.egress),
  };
}

function toField(field: ConfigField) {
  const shown = field.secret ? undefined : field.default;
  return {
    key: field.key,
    label: field.label,
    type: types[field.type],
    ...(shown === undefined ? {} : { defaultValue: fromJson(ValueSchema, typeof shown === "object" ? [...shown] : shown) }),
    enumValues: [...field.enum],
    secret: field.secret,
    help: field.help,
    placeholder: field.placeholder,
    ...(field.min === undefined ? {} : { min: BigInt(field.min) }),
    ...(field.max === undefined ? {} : { max: BigInt(field.max) }),
    ...(field.maxBytes === undefined ? {} : { maxBytes: field.maxBytes }),
    ...(field.maxItems === undefined ? {} : { maxItems: field.maxItems }),
    pattern: field.pattern ?? "",
    expects: field.expects ?? "",
    forbidden: field.forbidden?.values.map(String) ?? [],
  };
}
