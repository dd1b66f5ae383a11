/**
 * Lines of `nft list ruleset` with any of these words in them: without counters, without what tells where in a list of others
 * they stand, and with a name in place of each word.
 */
export function rulesAbout(ruleset: string, names: Readonly<Record<string, string>>): string[] {
  const words = Object.entries(names);
  return ruleset
    .split("\n")
    .filter((line) => words.some(([word]) => line.includes(word)))
    .map((line) =>
      words
        .reduce((text, [word, name]) => text.replaceAll(word, name), line)
        .replace(/packets \d+ bytes \d+/, "")
        .replace("elements = {", "")
        .replace(/(,| \})$/, "")
        .trim(),
    )
    .sort();
}

/** The bridge of each network of `docker network ls --no-trunc --format "{{.ID}} {{.Name}}"`, and the network's name. */
export function bridgesOf(networks: readonly string[]): Record<string, string> {
  return Object.fromEntries(networks.map((line) => [`br-${line.slice(0, 12)}`, line.split(" ")[1] ?? ""]));
}
