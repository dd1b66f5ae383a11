/**
 * In which order many deckies are woken. Those of one host stand together, so that they share rounds of the database and calls of
 * the host, but no more of them at a time than its lane takes: every host gets something to do before one gets more.
 */
export function wakeOrder<Woken extends { readonly host: string }>(all: readonly Woken[], perHost: number): Woken[] {
  const hosts = new Map<string, Woken[]>();
  for (const each of all) {
    const own = hosts.get(each.host);
    if (own === undefined) hosts.set(each.host, [each]);
    else own.push(each);
  }
  const ordered: Woken[] = [];
  for (let from = 0; ordered.length < all.length; from += perHost)
    for (const own of hosts.values()) ordered.push(...own.slice(from, from + perHost));
  return ordered;
}
