/** How the user calls this program: the wrapper of a checkout says so, because `./decnet` and `decnet` differ for a shell. */
export function programName(env: Readonly<Record<string, string | undefined>>): string {
  const name = env["DECNET_PROGRAM"] ?? "";
  return /^[\w./~@+-]+$/.test(name) ? name : "decnet";
}

const commands =
  "status|decky|service|batch|fleet|host|op|events|catalog|token|audit|context|whoami|doctor|completion|version|wait|up|down";
const advised = new RegExp(`(^|[\\s"'(\`])(?:\\./)?decnet(?= (?:${commands})\\b)`, "gm");

/** Commands in a text for people, as the user has to type them. Pure. */
export function named(text: string, name: string): string {
  return name === "decnet" ? text : text.replaceAll(advised, (_, before: string) => `${before}${name}`);
}
