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

const service = z.object({
  image: z.string(),
  cap_drop: z.array(z.string()),
  cap_add: z.array(z.string()).optional(),
  read_only: z.boolean(),
  privileged: z.boolean().optional(),
  security_opt: z.array(z.string()),
  restart: z.string(),
  stop_grace_period: z.string(),
  ports: z.array(z.object({ target: z.number(), published: z.string() })).optional(),
  networks: z.record(z.string(), z.unknown()).optional(),
});
const hasCompose = (await execa("docker", ["compose", "version"], { reject: false })).exitCode === 0;

async function composed(files: readonly string[], env: Readonly<Record<string, string>>) {
  const args = ["compose", ...files.flatMap((file) => ["-f", join(root, "deploy", file)]), "config", "--format", "json"];
  const { stdout } = await execa("docker", args, { env: { PATH: process.env["PATH"] ?? "", ...env }, extendEnv: false });
  return z.object({ name: z.string(), services: z.record(z.string(), service) }).parse(JSON.parse(stdout));
}

/** What they do is tested by `npm run test:deploy`. */
describe.skipIf(!hasCompose)("the compose files of deploy/", () => {
  const password = { POSTGRES_PASSWORD: "x" };

  it("are read by compose, and leave no service of the control plane any power", async () => {
    const { services } = await composed(["compose.yaml"], password);
    expect(Object.keys(services).sort()).toEqual(["kafka", "master-1", "master-2", "master-2-keys", "postgres"]);
    for (const [name, { cap_drop, cap_add, read_only, privileged, security_opt, ...rest }] of Object.entries(services)) {
      expect([name, cap_drop, cap_add ?? [], read_only, privileged ?? false]).toEqual([name, ["ALL"], [], true, false]);
      expect(security_opt, name).toContain("no-new-privileges:true");
      expect(rest.stop_grace_period, name).toBe("1m0s");
      expect(rest.image, name).toMatch(/^decnet\/(master|postgres|kafka):\d/);
    }
    expect(Object.keys(services["postgres"]?.networks ?? {})).toEqual(["data"]);
    expect(Object.keys(services["kafka"]?.networks ?? {})).toEqual(["data"]);
  });

  it("leave the agent what its unit leaves it", async () => {
    const { services } = await composed(["compose.agent.yaml"], {});
    const [, list = ""] = /^CapabilityBoundingSet=(.+)$/m.exec(await read("deploy/decnet-agent.service")) ?? [];
    expect(services["agent"]?.cap_drop).toEqual(["ALL"]);
    expect(services["agent"]?.cap_add?.map((name) => `CAP_${name}`).sort()).toEqual(list.split(" ").sort());
  });

  it("take names, ports, images and subnets from variables, and refuse to start without a password", async () => {
    const chosen = { PROJECT: "mine", MASTER_1_PORT: "17443", POSTGRES_IMAGE: "postgres:15", KAFKA_IMAGE: "apache/kafka:4.1.2" };
    const subnets = { DATA_SUBNET: "10.90.0.0/28", OUTSIDE_SUBNET: "10.90.0.16/28" };
    const { name, services } = await composed(["compose.yaml", "compose.subnets.yaml"], { ...password, ...chosen, ...subnets });
    expect([name, services["postgres"]?.image, services["kafka"]?.image]).toEqual(["mine", "postgres:15", "apache/kafka:4.1.2"]);
    expect(services["master-1"]?.ports).toMatchObject([{ target: 7443, published: "17443" }]);
    await expect(composed(["compose.yaml"], {})).rejects.toThrow("set it in compose.env");
    await expect(composed(["compose.yaml", "compose.subnets.yaml"], password)).rejects.toThrow("set it in compose.env");
  });

  it("start images of the version that this is", async () => {
    const { version } = z.object({ version: z.string() }).parse(JSON.parse(await read("package.json")));
    for (const file of ["compose.yaml", "compose.agent.yaml", "compose.env.example"]) {
      const named = [...(await read(`deploy/${file}`)).matchAll(/IMAGE_TAG(?::-|=)([\w.-]+)/g)];
      expect(
        named.map(([, each]) => each),
        file,
      ).toEqual(named.map(() => version));
      expect(named.length, file).toBeGreaterThan(0);
    }
  });

  it("have an example of all variables that somebody has to give", async () => {
    const example = await read("deploy/compose.env.example");
    for (const file of ["compose.yaml", "compose.subnets.yaml"])
      for (const [, variable = ""] of (await read(`deploy/${file}`)).matchAll(/\$\{([A-Z_0-9]+)/g))
        if (variable !== "MASTER_IMAGE") expect(example, file).toMatch(new RegExp(`^#?${variable}=`, "m"));
  });
});

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
