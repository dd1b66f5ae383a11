/** A family of figures in Prometheus's text format. */
export interface Family {
  readonly name: string;
  readonly type: string;
  readonly samples: readonly PrometheusSample[];
}

export interface PrometheusSample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

const name = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const help = new RegExp(`^# HELP (${name}) (?:[^\\\\]|\\\\\\\\|\\\\n)+$`);
const type = new RegExp(`^# TYPE (${name}) (counter|gauge|histogram|summary|untyped)$`);
const line = new RegExp(`^(${name})(?:\\{(.*)\\})? (\\S+)$`);
const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,(?=.)|$)/;
const suffixes: Readonly<Record<string, readonly string[]>> = {
  histogram: ["_bucket", "_sum", "_count"],
  summary: ["", "_sum", "_count"],
};

/**
 * Reads the text format 0.0.4 as strictly as its description allows
 * (https://prometheus.io/docs/instrumenting/exposition_formats/), and throws for what a scraper might refuse or misread.
 */
export function parsePrometheusText(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const families = new Map<string, { name: string; type: string; samples: PrometheusSample[] }>();
  const helped = new Set<string>();
  const series = new Set<string>();
  let current: { name: string; type: string; samples: PrometheusSample[] } | undefined;
  for (const each of text.slice(0, -1).split("\n")) {
    if (each === "") continue;
    if (each.startsWith("#")) {
      const [, helpedName] = help.exec(each) ?? [];
      const [, typedName = "", kind = ""] = type.exec(each) ?? [];
      if (helpedName !== undefined && !helped.has(helpedName)) helped.add(helpedName);
      else if (typedName !== "" && helped.has(typedName) && !families.has(typedName)) {
        current = { name: typedName, type: kind, samples: [] };
        families.set(typedName, current);
      } else throw new Error(`out of place: ${each}`);
      continue;
    }
    const sample = parseSample(each);
    const owner = current;
    if (owner === undefined || !(suffixes[owner.type] ?? [""]).some((suffix) => sample.name === owner.name + suffix))
      throw new Error(`a sample of no family, or of another one: ${each}`);
    const key = `${sample.name} ${JSON.stringify([...sample.labels].sort())}`;
    if (series.has(key)) throw new Error(`twice: ${each}`);
    series.add(key);
    owner.samples.push(sample);
  }
  for (const family of families.values()) if (family.type === "histogram") checkHistogram(family);
  return families;
}

function parseSample(text: string): PrometheusSample {
  const [, sampleName = "", inner, value = ""] = line.exec(text) ?? [];
  if (sampleName === "") throw new Error(`no sample: ${text}`);
  const labels = new Map<string, string>();
  for (let rest = inner ?? ""; rest !== ""; ) {
    const found = label.exec(rest);
    if (found === null || labels.has(found[1] ?? "")) throw new Error(`no labels: ${text}`);
    labels.set(
      found[1] ?? "",
      (found[2] ?? "").replace(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped)),
    );
    rest = rest.slice(found[0].length);
  }
  return { name: sampleName, labels, value: parseValue(value) };
}

function parseValue(text: string): number {
  if (/^nan$/i.test(text)) return Number.NaN;
  if (/^[+-]?inf$/i.test(text)) return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text)) throw new Error(`no number: ${text}`);
  return Number(text);
}

/** Buckets grow, the last is for everything, and it is the count. */
function checkHistogram({ name: family, samples }: Family): void {
  const groups = new Map<string, PrometheusSample[]>();
  for (const sample of samples) {
    const key = JSON.stringify([...sample.labels].filter(([each]) => each !== "le").sort());
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  for (const [key, group] of groups) {
    const buckets = group.filter((sample) => sample.name.endsWith("_bucket"));
    const bounds = buckets.map(({ labels }) => parseValue(labels.get("le") ?? ""));
    const counts = buckets.map(({ value }) => value);
    const count = group.find((sample) => sample.name.endsWith("_count"))?.value;
    const isGrowing = (numbers: readonly number[]) => numbers.every((each, at) => at === 0 || (numbers[at - 1] ?? 0) <= each);
    const isWhole = group.some((sample) => sample.name.endsWith("_sum")) && count !== undefined && counts.at(-1) === count;
    if (!isGrowing(bounds) || !isGrowing(counts) || bounds.at(-1) !== Number.POSITIVE_INFINITY || !isWhole)
      throw new Error(`${family} ${key} is no histogram`);
  }
}
