/** Whether a topic fits a pattern: `*` is exactly one segment, a last `>` is one or more. */
export function matchesTopic(pattern: string, topic: string): boolean {
  const wanted = pattern.split(".");
  const given = topic.split(".");
  for (const [index, segment] of wanted.entries()) {
    if (segment === ">") return index === wanted.length - 1 && given.length > index;
    if (given[index] === undefined || (segment !== "*" && segment !== given[index])) return false;
  }
  return wanted.length === given.length;
}

export function isTopicPattern(pattern: string): boolean {
  const segments = pattern.split(".");
  return (
    pattern.length <= 256 &&
    segments.every(
      (segment, index) => segment === "*" || (segment === ">" && index === segments.length - 1) || /^[^.*>\s]+$/.test(segment),
    )
  );
}
