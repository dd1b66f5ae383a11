/** `core` or `core=10.1.0.9` */
export function toPlace(text: string): { lan: string; ip: string } {
  const [lan = "", ip = ""] = text.split("=", 2);
  return { lan, ip };
}

/** `ssh,http` */
export function toServices(text: string): { slug: string }[] {
  return text
    .split(",")
    .filter((slug) => slug !== "")
    .map((slug) => ({ slug }));
}
