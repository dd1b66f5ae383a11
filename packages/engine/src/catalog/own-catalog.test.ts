import { fileURLToPath } from "node:url";
import { AppError } from "@decnet/common/errors/app-error";
import { describe, expect, it } from "vitest";
import { coerceConfig } from "./coerce.ts";
import { loadCatalog } from "./load.ts";

const catalog = await loadCatalog([fileURLToPath(new URL("../../../../catalog", import.meta.url))]);

function refusal(slug: string, config: Record<string, unknown>): string {
  const entry = catalog.services.get(slug);
  if (entry === undefined) throw new Error(`no ${slug}`);
  try {
    coerceConfig(entry, config);
    return "";
  } catch (error) {
    if (error instanceof AppError) return error.message;
    throw error;
  }
}

describe("what can never work is refused, with the name of its field", () => {
  const users = [
    "",
    " ",
    "a b",
    "root",
    "../x",
    "a/b",
    "-x",
    "a:b",
    "daemon",
    "www-data",
    "nobody",
    "123",
    "é",
    "x".repeat(33),
    "a\u0085",
  ];
  it.each(["ssh", "telnet", "ftp"].flatMap((slug) => users.slice(1).map((user) => [slug, user])))(
    "%s with the user %j",
    (slug, user) => expect(refusal(slug, { user })).toMatch(/^user: /),
  );
  it.each<[string, string, unknown]>([
    ["ssh", "user", "sshd"],
    ["ftp", "user", "ftp"],
    ["ssh", "hostname", "$(id)"],
    ["ssh", "hostname", "'; reboot; '"],
    ["telnet", "hostname", "`id`"],
    ["telnet", "hostname", "\\u"],
    ["telnet", "hostname", "web 01"],
    ["ssh", "hostname", "é"],
    ["ssh", "password", "é".repeat(129)],
    ["ssh", "user_password", "x".repeat(257)],
    ["telnet", "password", "a\u0085b"],
    ["ftp", "password", "x".repeat(200)],
    ["ftp", "password", "é".repeat(65)],
    ["ftp", "banner", " "],
    ["ftp", "banner", " x"],
    ["ftp", "banner", "x "],
    ["ftp", "banner", "\u00a0"],
    ["ftp", "banner", "a\ufffeb"],
    ["redis", "password", "x".repeat(257)],
    ["redis", "maxmemory_mb", 0],
    ["redis", "maxmemory_mb", 97],
    ["http", "server_header", "  "],
    ["http", "server_header", "a\u009bb"],
    ["http", "custom_body", "x".repeat(262_145)],
    ["http", "custom_body", "é".repeat(131_073)],
    ["http", "http_versions", ["http/1.1", "http/2"]],
    ["http", "extra_headers", '{"A":"1\\nB: 2"}'],
    ["http", "extra_headers", '{"A":"1\\u0085"}'],
    ["http", "extra_headers", '{"A":'],
    ["http", "extra_headers", '{"A":["1"]}'],
    ["http", "extra_headers", "no header"],
    ["http", "extra_headers", "Content-Length: 3"],
    ["http", "extra_headers", "A b: 3"],
    ["http", "extra_headers", "A: "],
    ...[0, 99, 100, 101, 150, 199, 204, 205, 304, 444, 499, 600].map((code): [string, string, unknown] => [
      "http",
      "response_code",
      code,
    ]),
  ])("%s: %s", (slug, key, value) => expect(refusal(slug, { [key]: value })).toMatch(new RegExp(`^${key}: `)));
});

it("names as people have them are taken", () => {
  for (const slug of ["ssh", "telnet", "ftp"])
    for (const user of ["j.doe", "Administrator", "svc_backup", "jane-doe2", "_svc", "4dm1n"])
      expect(refusal(slug, { user })).toBe("");
});
