import { UsageError } from "./usage-error.ts";

/** The forms of output: `--output`. */
export const forms = ["table", "wide", "json", "jsonl", "yaml", "name"] as const;
export type Form = (typeof forms)[number];

export function isForm(text: string): text is Form {
  return forms.some((form) => form === text);
}

/** Flags of every command that shows something. They are global; the program hands them to each command. */
export interface ReadFlags {
  readonly json?: boolean;
  readonly output?: string;
}

/** The form that was asked for. */
export function formOf(flags: ReadFlags): Form {
  const form = flags.json === true ? "json" : (flags.output ?? "table");
  if (!isForm(form)) throw new UsageError(`--output is one of ${forms.join(", ")}, not ${JSON.stringify(form)}`);
  return form;
}
