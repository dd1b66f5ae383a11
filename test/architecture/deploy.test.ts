import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { root } from "./cruise.ts";

const read = (path: string) => readFile(join(root, path), "utf8");

/** Names and labels of docs/metrics.md; test/integration/metrics.test.ts compares them with what programs show. */
async function documented(): Promise<Map<string, Set<string>>> {
  const rows = [...(await read("docs/metrics.md")).matchAll(/^\| `(decnet_\w+)` \|([^|]*)\|/gm)];
  const known = new Map<string, Set<string>>();
  for (const [, name = "", labels = ""] of rows)
    known.set(name, new Set([...(known.get(name) ?? []), ...(labels.match(/\w+/g) ?? [])]));
  return known;
}

/** What an expression names: figures, and the labels that it selects or groups by. */
function namesIn(expr: string): { figures: string[]; labels: string[] } {
  const figures = (expr.match(/\b(decnet|nodejs)_\w+/g) ?? []).map((name) => name.replace(/_(bucket|sum|count)$/, ""));
  const selected = [...expr.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)].map(([, label = ""]) => label);
  const grouped = [...expr.matchAll(/\b(?:by|without|on|ignoring) \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(/,\s*/));
  return { figures, labels: [...selected, ...grouped] };
}

/** Of every scrape, besides what a figure has. */
const scraped = ["job", "instance", "le"];

async function refuseUnknown(expr: string): Promise<void> {
  const known = await documented();
  const { figures, labels } = namesIn(expr);
  for (const name of figures) if (!name.startsWith("nodejs_")) expect([...known.keys()], expr).toContain(name);
  const possible = new Set([...scraped, ...figures.flatMap((name) => [...(known.get(name) ?? [])])]);
  for (const label of labels) expect([...possible], expr).toContain(label);
}

const rule = z.strictObject({
  alert: z.string().regex(/^Decnet[A-Za-z]+$/),
  expr: z.string(),
  for: z
    .string()
    .regex(/^\d+[smh]$/)
    .optional(),
  labels: z.strictObject({ severity: z.enum(["warning", "critical"]) }),
  annotations: z.strictObject({ summary: z.string(), description: z.string().optional() }),
});
const rules = z.strictObject({ groups: z.array(z.strictObject({ name: z.string(), rules: z.array(rule) })) });

const hasSystemd = (await execa("systemd-analyze", ["--version"], { reject: false })).exitCode === 0;

/** Ten times the figure of `systemd-analyze security`: 0 is nothing exposed, 100 is everything. */
describe.skipIf(!hasSystemd)("the units of deploy/", () => {
  it.each([
    ["decnet-master.service", 40],
    ["decnet-agent.service", 38],
  ])("%s exposes no more than it was left with", async (unit, most) => {
    const args = ["security", "--offline=true", "--no-pager", `--threshold=${most}`, join(root, "deploy", unit)];
    const { exitCode, stdout } = await execa("systemd-analyze", args, { reject: false });
    expect(stdout).toContain("Overall exposure level");
    expect(exitCode, stdout.split("\n").at(-1)).toBe(0);
  });
});

describe("deploy/prometheus/alerts.yaml", () => {
  it("is a file of rules that name only figures and labels that there are", async () => {
    const all = rules.parse(parse(await read("deploy/prometheus/alerts.yaml"))).groups.flatMap((group) => group.rules);
    expect(new Set(all.map(({ alert }) => alert)).size).toBe(all.length);
    for (const { expr, annotations } of all) {
      await refuseUnknown(expr);
      expect(expr.split("(").length).toBe(expr.split(")").length);
      // Grouped away, a label is empty in the text.
      const [, by] = /\bby \(([^)]*)\)/.exec(expr) ?? [];
      for (const [, label = ""] of `${annotations.summary} ${annotations.description ?? ""}`.matchAll(/\$labels\.(\w+)/g))
        if (by !== undefined) expect(by.split(/,\s*/), expr).toContain(label);
    }
  });
});

const panel = z.object({
  id: z.number(),
  type: z.string(),
  gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
  targets: z.array(z.object({ expr: z.string() })).optional(),
});

describe("deploy/grafana/decnet.json", () => {
  it("is a dashboard whose panels name only figures and labels that there are, and show all figures", async () => {
    const { panels } = z.object({ panels: z.array(panel) }).parse(JSON.parse(await read("deploy/grafana/decnet.json")));
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const exprs = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    for (const expr of exprs) await refuseUnknown(expr);
    const shown = new Set(exprs.flatMap((expr) => namesIn(expr).figures));
    expect([...(await documented()).keys()].filter((name) => !shown.has(name))).toEqual([]);
  });
});
