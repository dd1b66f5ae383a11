import { AppError } from "@decnet/common/errors/app-error";
import { coerceConfig } from "./coerce.ts";
import type { ConfigField } from "./types.ts";

interface FieldProblem {
  readonly index: number;
  readonly key: string;
  readonly problem: string;
}

/** Linux takes 128 KiB for one variable, and much less for all of them together with the arguments. */
const mostEnvBytes = 32_768;
const bytesPerCharacter = 3;

/** What is wrong with the fields of one service, beyond their shape. */
export function checkFields(slug: string, fields: readonly ConfigField[]): FieldProblem[] {
  return fields.flatMap((field, index) => {
    const found: FieldProblem[] = [];
    const problem = (key: string, text: string) => void found.push({ index, key, problem: text });
    const isChoice = field.type === "enum" || field.type === "multi_enum";
    const isList = field.type === "multi_enum" || field.type === "string_list";
    if (isChoice !== field.enum.length > 0) problem("enum", isChoice ? "lists the allowed values" : "is only for enum types");
    if (field.secret && field.env !== undefined) problem("env", "a secret is a file, never an environment variable");
    if (field.file === true && field.env !== undefined) problem("env", "a file is no environment variable");
    if (field.file === true && field.secret) problem("file", "a secret is a file already");
    if (field.pairs !== undefined && field.type !== "textarea") problem("pairs", "is only for textarea");
    if (field.maxItems !== undefined && !isList) problem("max_items", "is only for lists");
    if (field.pattern !== undefined && field.expects === undefined) problem("expects", "says in words what the pattern is");
    if (field.env !== undefined && mostBytes(field) > mostEnvBytes)
      problem("env", "may be too large for the environment: make it a file, or limit it by max_bytes");
    if (fields.findIndex((other) => other.key === field.key) !== index) problem("key", `duplicate ${field.key}`);
    const wrong = wrongDefault(slug, field);
    if (wrong !== undefined) problem("default", wrong);
    return found;
  });
}

function mostBytes(field: ConfigField): number {
  if (field.type === "string_list") return (field.maxItems ?? Number.POSITIVE_INFINITY) * field.maxLength * bytesPerCharacter;
  if (field.type !== "string" && field.type !== "textarea") return 0;
  return Math.min(field.maxBytes ?? Number.POSITIVE_INFINITY, field.maxLength * bytesPerCharacter);
}

function wrongDefault(slug: string, field: ConfigField): string | undefined {
  if (field.default === undefined) return undefined;
  try {
    coerceConfig({ slug, fields: [field] }, { [field.key]: field.default });
    return undefined;
  } catch (error) {
    if (error instanceof AppError) return error.message;
    throw error;
  }
}
