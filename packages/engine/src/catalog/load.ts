import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { egressRules } from "../policy/egress.ts";
import { hashContext } from "./build-context.ts";
import { checkFields } from "./check-fields.ts";
import type { Catalog, ConfigField, ServiceDefinition } from "./types.ts";
import { isPattern } from "./whole-text.ts";

const forbidden = z.strictObject({ values: z.array(z.union([z.string(), z.number()])).min(1), because: z.string() });
const pattern = z.string().refine(isPattern, "is not a regular expression");

const field = z.strictObject({
  key: z.string().regex(/^[a-z][a-z0-9_]{0,31}$/),
  label: z.string(),
  type: z.enum(["string", "password", "textarea", "int", "bool", "enum", "multi_enum", "string_list"]),
  default: z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]).optional(),
  enum: z.array(z.string()).default([]),
  secret: z.boolean().default(false),
  help: z.string().default(""),
  placeholder: z.string().default(""),
  env: z
    .string()
    .regex(/^[A-Z][A-Z0-9_]*$/)
    .optional(),
  emit: z.enum(["always", "when_set"]).default("when_set"),
  min: z.number().optional(),
  max: z.number().optional(),
  max_length: z.number().int().positive().optional(),
  max_bytes: z.number().int().positive().optional(),
  pattern: pattern.optional(),
  expects: z.string().optional(),
  forbidden: forbidden.optional(),
  max_items: z.number().int().positive().optional(),
  pairs: z.strictObject({ name: pattern, value: pattern, forbidden: forbidden.optional() }).optional(),
  file: z.boolean().optional(),
});

/** With one of these a service could change the rules of its decky, or pass by them. */
const unguarded = new Set(["ALL", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "BPF"]);

const service = z.strictObject({
  title: z.string(),
  summary: z.string(),
  singleton: z.boolean().default(false),
  ports: z.array(z.strictObject({ number: z.number().int().min(1).max(65_535), protocol: z.enum(["tcp", "udp"]) })).default([]),
  capabilities: z.array(z.string().regex(/^[A-Z_]+$/)).default([]),
  egress: egressRules.default([]),
  user: z.number().int().min(0).default(0),
  read_only_root: z.boolean().default(false),
  tmpfs: z.array(z.string().startsWith("/")).default([]),
  volumes: z.array(z.strictObject({ name: z.string(), path: z.string().startsWith("/") })).default([]),
  limits: z
    .strictObject({
      pids: z.number().int().positive(),
      memory_mb: z.number().int().positive(),
      cpus: z.number().positive(),
      disk_mb: z.number().int().positive().default(256),
    })
    .default({ pids: 128, memory_mb: 128, cpus: 1, disk_mb: 256 }),
  stop_grace_seconds: z.number().positive().default(2),
  settle_seconds: z.number().positive().default(15),
  fields: z.array(field).default([]),
});

function unguardedProblems({ singleton, capabilities }: z.infer<typeof service>): string[] {
  const found = singleton ? [] : capabilities.filter((name) => unguarded.has(name));
  return found.map((name) => `with ${name} whoever is in the service could call out; a service of a decky cannot have it`);
}

const slugPattern = /^[a-z0-9][a-z0-9_-]{0,31}$/;

/**
 * Reads every `<folder>/<slug>/service.yaml` with its `image/` build context. Later folders add services; a duplicate slug is an
 * error. All problems are reported together, each with file and field.
 */
export async function loadCatalog(folders: readonly string[]): Promise<Catalog> {
  const problems: string[] = [];
  const services = new Map<string, ServiceDefinition>();
  for (const folder of folders) {
    for (const slug of (await readdir(folder)).sort()) {
      const file = join(folder, slug, "service.yaml");
      if (!(await stat(join(folder, slug))).isDirectory()) continue;
      const loaded = await loadService(slug, join(folder, slug), file, problems);
      if (loaded === undefined) continue;
      if (services.has(slug)) problems.push(`${file}: the slug ${slug} is in the catalog already`);
      services.set(slug, loaded);
    }
  }
  if (problems.length > 0) throw new Error(`the catalog has ${problems.length} problem(s):\n  ${problems.join("\n  ")}`);
  const digest = createHash("sha256");
  for (const slug of [...services.keys()].sort()) {
    const { image, ...meaning } = services.get(slug) as ServiceDefinition;
    digest.update(JSON.stringify([slug, meaning, image.contextHash]));
  }
  return { services, digest: digest.digest("hex") };
}

async function loadService(
  slug: string,
  folder: string,
  file: string,
  problems: string[],
): Promise<ServiceDefinition | undefined> {
  if (!slugPattern.test(slug)) {
    problems.push(`${folder}: a slug has lower-case letters, digits, "-" and "_" only`);
    return undefined;
  }
  let document: unknown;
  try {
    document = parse(await readFile(file, "utf8"));
  } catch (error) {
    problems.push(`${file}: ${error instanceof Error ? (error.message.split("\n")[0] ?? "cannot be read") : "cannot be read"}`);
    return undefined;
  }
  const parsed = service.safeParse(document);
  if (!parsed.success) {
    problems.push(
      ...parsed.error.issues.map((issue) => `${file}: ${issue.path.map(String).join(".") || "document"}: ${issue.message}`),
    );
    return undefined;
  }
  const value = parsed.data;
  const fields = value.fields.map(toField);
  problems.push(...unguardedProblems(value).map((problem) => `${file}: capabilities: ${problem}`));
  problems.push(...checkFields(slug, fields).map(({ index, key, problem }) => `${file}: fields.${index}.${key}: ${problem}`));
  const context = join(folder, "image");
  return {
    slug,
    title: value.title,
    summary: value.summary,
    singleton: value.singleton,
    ports: value.ports,
    capabilities: value.capabilities,
    ...(value.egress.length === 0 ? {} : { egress: value.egress }),
    user: value.user,
    readOnlyRoot: value.read_only_root,
    tmpfs: value.tmpfs,
    volumes: value.volumes,
    limits: limitsOf(value.limits),
    stopGraceSeconds: value.stop_grace_seconds,
    settleSeconds: value.settle_seconds,
    image: { context, contextHash: await hashContext(context, problems) },
    fields,
  };
}

function limitsOf({ pids, memory_mb, cpus, disk_mb }: z.infer<typeof service>["limits"]): ServiceDefinition["limits"] {
  return { pids, memoryMb: memory_mb, cpus, diskMb: disk_mb };
}

function toField({
  max_length,
  max_bytes,
  max_items,
  env,
  min,
  max,
  default: fallback,
  ...rest
}: z.infer<typeof field>): ConfigField {
  const given = { ...rest, maxBytes: max_bytes, maxItems: max_items };
  return {
    ...(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as typeof rest),
    default: fallback,
    env,
    min,
    max,
    maxLength: max_length ?? (rest.type === "textarea" ? 65_536 : 256),
  } as ConfigField;
}
