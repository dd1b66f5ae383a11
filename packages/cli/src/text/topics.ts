/** Whether a topic fits a pattern: `*` is one segment, a last `>` is one or more. As the master does it. */
export function matchesTopic(pattern: string, topic: string): boolean {
  const wanted = pattern.split(".");
  const segments = topic.split(".");
  const isOpen = wanted.at(-1) === ">";
  const fixed = isOpen ? wanted.slice(0, -1) : wanted;
  if (isOpen ? segments.length <= fixed.length : segments.length !== fixed.length) return false;
  return fixed.every((segment, index) => segment === "*" || segment === segments[index]);
}
