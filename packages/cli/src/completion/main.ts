import { readContextFile } from "../contexts/context-file.ts";
import { type Choice, type ChosenContext, chooseContext, localContext } from "../contexts/contexts.ts";
import { tree } from "../gen/tree.ts";
import { visible } from "../text/layout.ts";
import { type Descent, descend, type Node, optionOf } from "../tree.ts";
import { askMaster } from "./ask.ts";
import { type Slot, slotFor, slotOfOption } from "./slots.ts";
import { type Suggestion, suggest } from "./suggest.ts";

type Env = Readonly<Record<string, string | undefined>>;

/**
 * `decnet __complete -- WORDS`: what the last word may become, one `value<TAB>hint` on each line; `:files` lets the shell offer
 * files. Silent on every error: nobody wants to read one while typing. Loads as little as it can.
 */
export async function complete(words: readonly string[], env: Env): Promise<void> {
  const found = await find(words, env).catch(() => []);
  // What a shell gets is inserted into its line.
  const isPlain = ({ value, hint }: Suggestion) => visible(value + hint) === value + hint;
  const lines = found
    .filter(isPlain)
    .map(({ value, hint }) => (hint === "" ? value : `${value}\t${hint.replaceAll(/\s+/g, " ")}`));
  if (lines.length > 0) process.stdout.write(`${lines.join("\n")}\n`);
}

async function find(words: readonly string[], env: Env): Promise<Suggestion[]> {
  const current = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const descent = descend(tree, before);
  const starting = (found: readonly Suggestion[], prefix = "") =>
    found
      .map(({ value, hint }) => ({ value: prefix + value, hint }))
      .filter(({ value }) => value === ":files" || value.startsWith(current));
  const slot = slotFor(descent);
  if (descent.pending === undefined && current.startsWith("-") && !before.includes("--")) {
    const option = current.includes("=") ? optionOf(tree, descent.node, current) : undefined;
    if (option === undefined) return starting(optionsOf(descent.node));
    const prefix = current.slice(0, current.indexOf("=") + 1);
    return starting(await valuesFor(slotOfOption(option.names), descent, before, "", env), prefix);
  }
  if (descent.unknown !== undefined) return [];
  if (descent.pending === undefined && descent.node.commands.length > 0) return starting(commandsOf(descent.node));
  return starting(await valuesFor(slot, descent, before, current, env));
}

function commandsOf(node: Node): Suggestion[] {
  return node.commands.map(({ name, description }) => ({ value: name, hint: description }));
}

function optionsOf(node: Node): Suggestion[] {
  const all = node === tree ? tree.options : [...node.options, ...tree.options];
  return all.map(({ names, description }) => ({ value: names[0] ?? "", hint: description }));
}

async function valuesFor(
  slot: Slot | undefined,
  { operands, path }: Descent,
  before: readonly string[],
  current: string,
  env: Env,
): Promise<Suggestion[]> {
  if (slot === undefined) return [];
  if (slot === "files") return [{ value: ":files", hint: "" }];
  if (typeof slot === "object") return slot.oneOf.map((value) => ({ value, hint: "" }));
  const file = readContextFile(env);
  if (slot === "context")
    return [localContext, ...file.contexts.filter(({ name }) => name !== localContext.name)].map(({ name, address }) => ({
      value: name,
      hint: address,
    }));
  const context: ChosenContext = chooseContext(flagsOf(before), fromEnv(env), file);
  const ask = (method: string, body: object) => askMaster(context, env, method, body);
  return suggest(slot, { ask, operands: path[0] === "batch" ? ["", ...operands.slice(1)] : operands, current });
}

/** The flags that say where the master is, as far as they are typed. */
function flagsOf(words: readonly string[]): Choice {
  const given = (name: string) => {
    const at = words.indexOf(name);
    const joined = words.find((word) => word.startsWith(`${name}=`));
    return joined === undefined ? (at < 0 ? undefined : words[at + 1]) : joined.slice(name.length + 1);
  };
  return {
    context: given("--context"),
    address: given("--address"),
    token: given("--token"),
    tokenFile: given("--token-file"),
    ca: given("--ca"),
    insecure: words.includes("--insecure"),
  };
}

function fromEnv(env: Env): Choice {
  return {
    context: env["DECNET_CONTEXT"] || undefined,
    address: env["DECNET_ADDRESS"] || undefined,
    token: env["DECNET_TOKEN"] || undefined,
    tokenFile: env["DECNET_TOKEN_FILE"] || undefined,
    ca: env["DECNET_CA"] || undefined,
  };
}
