/** What differs from run to run gets a name by its order in the text; equal things get equal names. */
export function normalise(text: string, operations: readonly string[]): string {
  const named = new Map(operations.map((id, index) => [id, `op-${index + 1}`]));
  const counts = new Map<string, number>();
  const nameOf = (found: string, prefix: string) => {
    const known = named.get(found);
    if (known !== undefined) return known;
    const count = (counts.get(prefix) ?? 0) + 1;
    counts.set(prefix, count);
    const name = `${prefix}${count}`;
    named.set(found, name);
    return name;
  };
  return (
    text
      .replaceAll(/\bop-[0-9a-f]{10}\b/g, (id) => named.get(id) ?? "op-of-setup")
      .replaceAll(/\b[0-9a-f]{64}\b/g, (id) => nameOf(id, "c"))
      .replaceAll(/\b[0-9a-f]{32}\b/g, (digest) => nameOf(digest, "digest-"))
      .replaceAll(/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, (time) => nameOf(time, "t"))
      // How a connection ended is told by libraries, and not always in the same words.
      .replaceAll(/(host \S+ does not answer: )[^;"\n]*/g, "$1<why>")
      .replaceAll(/127\.0\.0\.1:\d+/g, (address) => nameOf(address, "address-"))
  );
}
