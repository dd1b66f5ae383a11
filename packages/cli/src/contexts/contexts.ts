import { isMap } from "../maps.ts";
import { UsageError } from "../usage-error.ts";

/** When a context asks before it changes something: `risky` asks only about named risks, `never` about nothing. */
export const confirmations = ["always", "risky", "never"] as const;
export type Confirmation = (typeof confirmations)[number];

/** A master that the user knows by a name. */
export interface Context {
  readonly name: string;
  readonly address: string;
  readonly tokenFile: string;
  /** A file with the authority that the master's certificate is signed by; empty: those of this machine. */
  readonly ca: string;
  /** The token may go over http:// to another machine. */
  readonly insecure: boolean;
  /** What the user calls the role; only shown to the user. */
  readonly role: string;
  /** Every change needs the context's name typed, or `--context NAME --accept NAME`. */
  readonly isProtected: boolean;
  readonly colour: string | undefined;
  readonly confirm: Confirmation | undefined;
}

export interface ContextFile {
  /** The default of new shells. */
  readonly current: string | undefined;
  readonly contexts: readonly Context[];
}

/** The context that exists without any file: the master that `up` starts on this machine. */
export const localContext: Context = {
  name: "local",
  address: "http://127.0.0.1:7440",
  tokenFile: "/var/lib/decnet/master/admin.token",
  ca: "",
  insecure: false,
  role: "admin",
  isProtected: false,
  colour: undefined,
  confirm: undefined,
};

/** Reads the document of a contexts file. Throws a sentence that says what is wrong. */
export function parseContextFile(document: unknown): ContextFile {
  if (document === null || document === undefined) return { current: undefined, contexts: [] };
  if (!isMap(document)) throw new UsageError("the contexts file must hold a map");
  const list = document["contexts"] ?? [];
  if (!Array.isArray(list)) throw new UsageError("contexts must be a list");
  const current = document["current"];
  return { current: typeof current === "string" ? current : undefined, contexts: list.map(parseContext) };
}

function parseContext(value: unknown, index: number): Context {
  if (!isMap(value)) throw new UsageError(`contexts[${index}] must be a map`);
  const text = (key: string) => {
    const found = value[key];
    if (found !== undefined && typeof found !== "string") throw new UsageError(`contexts[${index}].${key} must be a text`);
    return found ?? "";
  };
  const confirm = confirmations.find((each) => each === value["confirm"]);
  if (value["confirm"] !== undefined && confirm === undefined)
    throw new UsageError(`contexts[${index}].confirm is one of ${confirmations.join(", ")}`);
  if (text("name") === "" || text("address") === "") throw new UsageError(`contexts[${index}] needs a name and an address`);
  return {
    name: text("name"),
    address: text("address"),
    tokenFile: text("tokenFile"),
    ca: text("ca"),
    insecure: value["insecure"] === true,
    role: text("role"),
    isProtected: value["protected"] === true,
    colour: text("colour") || undefined,
    confirm,
  };
}

/** The document of a contexts file. */
export function toDocument(file: ContextFile): Record<string, unknown> {
  return {
    ...(file.current === undefined ? {} : { current: file.current }),
    contexts: file.contexts.map(({ isProtected, colour, confirm, role, ca, insecure, ...rest }) => ({
      ...rest,
      ...(ca === "" ? {} : { ca }),
      ...(insecure ? { insecure: true } : {}),
      ...(role === "" ? {} : { role }),
      ...(isProtected ? { protected: true } : {}),
      ...(colour === undefined ? {} : { colour }),
      ...(confirm === undefined ? {} : { confirm }),
    })),
  };
}

export interface Choice {
  readonly context?: string | undefined;
  readonly address?: string | undefined;
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly ca?: string | undefined;
  readonly insecure?: boolean | undefined;
}

export interface ChosenContext extends Context {
  readonly token: string;
  /** The user named it with --context. */
  readonly isNamed: boolean;
  /** It is one of the contexts file. */
  readonly isStored: boolean;
  /** There are other contexts that could have been meant. */
  readonly hasOthers: boolean;
}

/**
 * Which master a command talks to: flag before environment before file. An address or a token that is given by itself
 * replaces that of the context.
 */
export function chooseContext(flags: Choice, env: Choice, file: ContextFile): ChosenContext {
  const known = file.contexts.some((context) => context.name === localContext.name)
    ? file.contexts
    : [localContext, ...file.contexts];
  const named = flags.context ?? (flags.address === undefined ? env.context : undefined);
  const bare = named === undefined ? (flags.address ?? env.address) : undefined;
  const name = named ?? file.current ?? localContext.name;
  const found = known.find((context) => context.name === name);
  if (bare === undefined && found === undefined)
    throw new UsageError(
      [
        `there is no context ${JSON.stringify(name)}; known: ${known.map((context) => context.name).join(", ")}`,
        ` next:  decnet context add ${name} --address https://HOST:7443 --token-file FILE`,
      ].join("\n"),
    );
  const base = bare === undefined && found !== undefined ? found : { ...localContext, name: bare ?? localContext.name };
  const tokenFile = flags.tokenFile ?? (flags.context === undefined ? env.tokenFile : undefined);
  const address = flags.address ?? bare ?? base.address;
  const token = flags.token ?? (flags.context === undefined && flags.tokenFile === undefined ? env.token : undefined);
  return {
    ...base,
    address,
    tokenFile: tokenFile ?? base.tokenFile,
    token: token ?? "",
    ca: flags.ca ?? (flags.context === undefined ? env.ca : undefined) ?? base.ca,
    // What was said of one address holds for no other.
    insecure: flags.insecure === true || (base.insecure && address === base.address),
    isNamed: flags.context !== undefined,
    isStored: bare === undefined && file.contexts.some((context) => context.name === name),
    hasOthers: file.contexts.length > 0 && known.length > 1,
  };
}
