import type { Descent } from "../tree.ts";

/** What a word may be. `files`: any file; the shell completes it. */
export type Slot =
  | "decky"
  | "absent-service"
  | "present-service"
  | "service"
  | "setting"
  | "revision"
  | "range"
  | "operation"
  | "open-operation"
  | "host"
  | "context"
  | "token"
  | "join-token"
  | "decky-filter"
  | "topology"
  | "lan"
  | "topology-decky"
  | "files"
  | { readonly oneOf: readonly string[] };

const oneOf = (...words: string[]): Slot => ({ oneOf: words });

/** The operands of each command, in order; the last one repeats where a command takes any number. */
const operands: Readonly<Record<string, readonly Slot[]>> = {
  "decky get": ["decky"],
  "decky logs": ["decky", "present-service"],
  "decky revisions": ["decky"],
  "decky restore": ["decky", "revision"],
  "decky rotate": ["decky"],
  "decky teardown": ["decky"],
  "service add": ["decky", "absent-service", "setting"],
  "service remove": ["decky", "present-service"],
  "service set": ["decky", "present-service", "setting"],
  "service replace": ["decky", "present-service", "setting"],
  "service get": ["decky", "present-service"],
  batch: [oneOf("add", "remove", "set", "replace"), "service", "setting"],
  "topology show": ["topology"],
  "topology validate": ["topology"],
  "topology plan": ["topology"],
  "topology deploy": ["topology"],
  "topology teardown": ["topology"],
  "topology delete": ["topology"],
  "topology resync": ["topology"],
  "topology export": ["topology"],
  "topology lan add": ["lan"],
  "topology lan update": ["lan"],
  "topology lan remove": ["lan"],
  "topology decky add": ["topology-decky"],
  "topology decky update": ["topology-decky"],
  "topology decky remove": ["topology-decky"],
  "topology decky attach": ["topology-decky"],
  "topology decky detach": ["topology-decky"],
  "host get": ["host"],
  "host drain": ["host"],
  "host activate": ["host"],
  "host decommission": ["host"],
  "host orphans": ["host"],
  "host revoke-token": ["join-token"],
  "op get": ["operation"],
  "op watch": ["operation"],
  "op cancel": ["open-operation"],
  wait: ["decky"],
  "token revoke": ["token"],
  "catalog get": ["service"],
  "context use": ["context"],
  "context env": ["context"],
  "context remove": ["context"],
  completion: [oneOf("bash", "zsh", "fish")],
};

const endless: ReadonlySet<string> = new Set(["service add", "service set", "service replace", "batch", "wait"]);

/** The values of options, by the option's long name. */
const values: Readonly<Record<string, Slot>> = {
  "--context": "context",
  "--token-file": "files",
  "--ca": "files",
  "--file": "files",
  "--output": oneOf("table", "wide", "json", "jsonl", "yaml", "name"),
  "--service": "present-service",
  "--diff": "range",
  "--on-failure": oneOf("undo", "keep"),
  "--when-away": oneOf("queue", "refuse"),
  "--wait": oneOf("applied", "accepted"),
  "--accept": oneOf("cut-sessions", "restart-base", "teardown"),
  "--role": oneOf("viewer", "operator", "admin"),
  "--confirm": oneOf("always", "risky", "never"),
  "--colour": oneOf("red", "green", "yellow", "blue", "magenta", "cyan", "grey"),
  "--for": oneOf("running", "degraded", "detached", "failed", "unknown", "changing", "gone"),
  "--select": "decky-filter",
  "--host": "host",
  "--format": oneOf("table", "tree", "mermaid", "dot", "json"),
};

/** What the next word may be; undefined: nothing that is known. Pure. */
export function slotFor({ path, operands: words, pending }: Descent): Slot | undefined {
  if (pending !== undefined) return slotOfOption(pending.names);
  const command = path.join(" ");
  const slots = operands[command] ?? [];
  return slots[words.length] ?? (endless.has(command) ? slots.at(-1) : undefined);
}

export function slotOfOption(names: readonly string[]): Slot | undefined {
  return names.map((name) => values[name]).find((slot) => slot !== undefined);
}
