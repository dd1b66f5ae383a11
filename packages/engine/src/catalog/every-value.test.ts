import { fileURLToPath } from "node:url";
import { AppError } from "@decnet/common/errors/app-error";
import { describe, expect, it } from "vitest";
import { renderDecky } from "../render/render-decky.ts";
import { coerceConfig } from "./coerce.ts";
import { loadCatalog } from "./load.ts";
import type { ConfigField, ConfigValue, ServiceConfig, ServiceDefinition } from "./types.ts";

const catalog = await loadCatalog([fileURLToPath(new URL("../../../../catalog", import.meta.url))]);

/** Every byte, and characters that some language or some file takes for something else. */
const odd = [
  ...Array.from({ length: 0x100 }, (_, code) => String.fromCharCode(code)),
  ...["\u2028", "\u2029", "\ufeff", "\ufffd", "\ufffe", "\uffff", "\ufdd0", "\u200b", "\u202e", "\ue000", "\u3000"],
  ...["\ud800", "\udc00", "\udc00\ud800", "\u{10000}", "\u{1f600}", "\u{1fffe}", "\u{10ffff}", "\u{e0001}"],
  ...[
    "$(id)",
    "`id`",
    "$" + "{HOME}",
    "$$",
    "\\n",
    "\\033[0m",
    "%s%n",
    "&",
    "' ; #",
    '"',
    "b64:",
    "{",
    "\\",
    "!!",
    "\r\n",
    "a: b",
  ],
];
const placesOf = (text: string) => [text, `a${text}b`, `${text}a`, `a${text}`];

type Case = readonly [slug: string, key: string, entry: ServiceDefinition, field: ConfigField];
const texts = [...catalog.services.values()].flatMap((entry) =>
  entry.fields
    .filter(({ type }) => ["string", "password", "textarea", "string_list"].includes(type))
    .map((field): Case => [entry.slug, field.key, entry, field]),
);

/** The settings, or the field that is refused. */
function taken(entry: ServiceDefinition, key: string, value: unknown): ServiceConfig | { readonly refused: string | undefined } {
  try {
    return coerceConfig(entry, { [key]: value });
  } catch (error) {
    if (!(error instanceof AppError) || error.reason !== "CONFIG_INVALID") throw error;
    return { refused: error.violations[0]?.field };
  }
}

/** What the container of a service finds, as compose and the file system are told of it. */
function arrives({ slug, fields }: ServiceDefinition, config: ServiceConfig, key: string): string | undefined {
  const rendered = renderDecky(
    {
      ...{ scope: "fleet", name: "a", revision: 1, hostname: "a", baseImage: "a", buildBase: "a", osFamily: "linux" },
      attachments: [
        {
          lan: { name: "l", driver: "bridge", subnet: "10.9.8.0/24", gateway: "10.9.8.1", parent: undefined },
          ...{ ip: "10.9.8.7", mac: "00:50:56:00:00:01" },
        },
      ],
      forwards: false,
      services: [{ slug, config }],
    },
    {
      ...{ catalog, instance: "i", projectDir: "/p", fingerprint: () => "f".repeat(64), pinMac: true, limits: {} },
      contents: new Map(),
    },
  );
  const utf8 = (text: string | undefined) => (text === undefined ? undefined : Buffer.from(text).toString());
  const { env } = fields.find((field) => field.key === key) ?? {};
  if (env === undefined) return utf8(rendered.files.find(({ path }) => path.endsWith(`/${key}`))?.content);
  const compose = rendered.files.find(({ path }) => path === "compose.yaml")?.content ?? "";
  const { services } = JSON.parse(compose) as { services: Record<string, { environment: Record<string, string> }> };
  return utf8(services[`a-${slug}`]?.environment[env]?.replaceAll("$$", "$"));
}

describe.each(texts)("%s: %s", (_, key, entry, field) => {
  const wrap = (text: string): unknown => {
    if (field.pairs !== undefined) return { "X-A": text };
    return field.type === "string_list" ? [text] : text;
  };
  const expected = (text: string, value: ConfigValue | undefined) => {
    if (field.pairs !== undefined) return `X-A: ${text}`;
    return field.type === "string_list" ? JSON.stringify([text]) : String(value);
  };

  it("arrives as it was given, or is refused by name", () => {
    for (const text of odd.flatMap(placesOf)) {
      const found = taken(entry, key, wrap(text));
      if ("refused" in found) {
        expect(found.refused, JSON.stringify(text)).toBe(`config.${key}`);
        continue;
      }
      if (!text.startsWith("b64:"))
        expect(found[key], JSON.stringify(text)).toEqual(field.pairs ? JSON.stringify(wrap(text)) : wrap(text));
      // What is at an end differs only in what is refused.
      if (/^a.*b$/su.test(text)) expect(arrives(entry, found, key), JSON.stringify(text)).toBe(expected(text, found[key]));
    }
  });

  it("is refused when it is longer than the server takes", () => {
    for (const text of [
      "x".repeat(field.maxLength + 1),
      "x".repeat(2_000_000),
      "é".repeat((field.maxBytes ?? field.maxLength * 2) / 2 + 1),
    ])
      expect(taken(entry, key, wrap(text))).toEqual({ refused: `config.${key}` });
  });
});
