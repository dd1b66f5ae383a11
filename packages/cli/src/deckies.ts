import { UsageError } from "./usage-error.ts";

/** `web-01` is a decky of the fleet, `corp/web-01` one of the topology `corp`, which the master knows by its name as well. */
export function parseDecky(text: string): { topologyId: string; name: string } {
  const parts = text.split("/");
  const [first = "", second] = parts;
  if (parts.length > 2 || first === "" || second === "")
    throw new UsageError(`a decky's name is like web-01, or corp/web-01 in a topology, not ${JSON.stringify(text)}`);
  return second === undefined ? { topologyId: "", name: first } : { topologyId: first, name: second };
}
