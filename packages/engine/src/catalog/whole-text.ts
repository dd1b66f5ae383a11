const compiled = new Map<string, RegExp>();

/** A pattern of the catalog, for a whole text. */
export function wholeText(pattern: string): RegExp {
  const known = compiled.get(pattern);
  if (known !== undefined) return known;
  const made = new RegExp(`^(?:${pattern})$`, "u");
  compiled.set(pattern, made);
  return made;
}
