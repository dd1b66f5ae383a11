// generate-events.mjs [--output DIR]   From proto/decnet/v1/bus.proto: types of what events carry, JSON Schemas, docs/events.md.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const output = process.argv[2] === "--output" ? process.argv[3] : root;
const buf = join(root, "node_modules/.bin/buf");
const set = JSON.parse(execFileSync(buf, ["build", "-o", "-#format=json"], { cwd: root, maxBuffer: 1 << 28 }).toString());
const file = set.file.find(({ name }) => name.endsWith("decnet/v1/bus.proto"));

/** Comments by the path of what they stand at. */
const comments = new Map(
  file.sourceCodeInfo.location.map(({ path = [], leadingComments = "" }) => [
    path.join("."),
    leadingComments
      .trim()
      .split("\n")
      .map((line) => line.trim())
      .join(" "),
  ]),
);

const scalars = {
  TYPE_STRING: { ts: "string", schema: { type: "string" } },
  TYPE_BOOL: { ts: "boolean", schema: { type: "boolean" } },
  TYPE_UINT32: { ts: "number", schema: { type: "integer", minimum: 0, maximum: 4_294_967_295 } },
};

function typeOf(field) {
  const isStruct = field.typeName === ".google.protobuf.Struct";
  const base = isStruct ? { ts: "Readonly<Record<string, unknown>>", schema: { type: "object" } } : scalars[field.type];
  if (base === undefined) throw new Error(`${field.name}: ${field.type} ${field.typeName ?? ""} has no JSON here`);
  if (field.label === "LABEL_REPEATED") return { ts: `readonly ${base.ts}[]`, schema: { type: "array", items: base.schema } };
  if (field.proto3Optional !== true) return base;
  return { ts: `${base.ts} | null`, schema: { ...base.schema, type: [base.schema.type, "null"] } };
}

const kinds = file.messageType.flatMap((message, at) => {
  const event = message.options?.["[decnet.v1.event]"];
  if (event === undefined) return [];
  const { topic, version, key, command = false } = event;
  const fields = message.field.map((field, index) => ({
    name: field.name,
    comment: comments.get(`4.${at}.2.${index}`) ?? "",
    ...typeOf(field),
  }));
  const kind = topic
    .split(".")
    .filter((segment) => !segment.startsWith("{"))
    .join(".");
  return [{ kind, name: message.name, topic, version, key, command, comment: comments.get(`4.${at}`) ?? "", fields }];
});
const union = file.messageType.find(({ name }) => name === "BusEvent");
const told = union.field.map(({ typeName }) => typeName.split(".").at(-1)).sort();
if (
  told.join() !==
  kinds
    .map(({ name }) => name)
    .sort()
    .join()
)
  throw new Error("BusEvent does not hold every kind of event once");

const familyOf = (topic) => topic.split(".")[0];
const families = [...new Set(kinds.filter(({ command }) => !command).map(({ topic }) => familyOf(topic)))];

const made = "Made by `npm run generate` from proto/decnet/v1/bus.proto; change that.";

const types = [
  `// ${made}`,
  ...kinds.flatMap(({ name, comment, fields }) => [
    "",
    `/** ${comment} */`,
    `export interface ${name} {`,
    ...fields.flatMap((field) => [
      ...(field.comment === "" ? [] : [`  /** ${field.comment} */`]),
      `  readonly ${field.name}: ${field.ts};`,
    ]),
    "}",
  ]),
  "",
  "/** What events carry, by their kind. */",
  "export interface EventPayloads {",
  ...kinds.map(({ kind, name }) => `  readonly "${kind}": ${name};`),
  "}",
  "",
  "export type EventKind = keyof EventPayloads;",
  "",
  "/** Braces in a topic name fields of what the event carries. Commands are sent to us. */",
  "export const eventKinds = {",
  ...kinds.map(
    ({ kind, topic, version, key, command }) => `  "${kind}": ${JSON.stringify({ topic, version, key, isCommand: command })},`,
  ),
  "} as const;",
  "",
  "/** What events are about: the first segment of their topics, and the topic of Kafka that they go out on. */",
  `export const busFamilies = ${JSON.stringify(families)} as const;`,
  "",
].join("\n");

const schemaOf = ({ kind, version, comment, fields }) => ({
  $id: `urn:decnet:event:${kind}:v${version}`,
  description: comment,
  type: "object",
  properties: Object.fromEntries(
    fields.map(({ name, comment: description, schema }) => [name, description === "" ? schema : { description, ...schema }]),
  ),
  required: fields.map(({ name }) => name),
});
const schemas = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $comment: made,
  $defs: Object.fromEntries(kinds.map((kind) => [`decnet.${kind.kind}.v${kind.version}`, schemaOf(kind)])),
};

const cell = (text) => text.replaceAll("|", "\\|");
const chapter = ({ kind, topic, version, key, command, comment, fields }) => [
  `## ${kind}`,
  "",
  comment,
  "",
  `Topic \`${topic}\`, type \`decnet.${kind}.v${version}\`.`,
  `On Kafka: \`decnet.${command ? "commands" : familyOf(topic)}\`, key \`${key}\`.`,
  "",
  "| field | type | |",
  "|---|---|---|",
  ...fields.map(({ name, ts, comment: text }) => {
    const type = ts.replace("Readonly<Record<string, unknown>>", "object").replace("readonly string[]", "list of string");
    return `| \`${name}\` | ${cell(type.replace(" | null", " or null"))} | ${cell(text)} |`;
  }),
  "",
];
const docs = [
  "# Events",
  "",
  `<!-- ${made} -->`,
  "",
  "What events carry. [bus.md](bus.md) says how they get to Kafka; `decnet events` and `EventService.Subscribe` have the same.",
  "JSON Schemas of all of them are in [events.schema.json](../packages/contract/src/gen/events.schema.json).",
  "A version only ever gets more fields; what would break a reader becomes a new version.",
  "",
  ...kinds.filter(({ command }) => !command).flatMap(chapter),
  "# Commands",
  "",
  "What may be sent to the master ([bus.md](bus.md#commands)).",
  "",
  ...kinds.filter(({ command }) => command).flatMap(chapter),
].join("\n");

const write = (path, text) => {
  mkdirSync(dirname(join(output, path)), { recursive: true });
  writeFileSync(join(output, path), text);
};
write("packages/contract/src/gen/events.ts", types);
write("packages/contract/src/gen/events.schema.json", `${JSON.stringify(schemas, undefined, 2)}\n`);
write("docs/events.md", `${docs.trimEnd()}\n`);
