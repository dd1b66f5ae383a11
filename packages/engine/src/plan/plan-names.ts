import type { DiagnosedDecky } from "../diagnose/diagnose.ts";
import type { ObservedHost } from "../observe/observed.ts";
import type { Draft } from "./plan.ts";

interface Misnamed {
  readonly id: string;
  readonly name: string;
  readonly wanted: string;
  readonly service: string;
}

/**
 * Gives containers their names back, and takes a name that is needed from one of ours that has it wrongly: that one is put
 * aside, and has its own name again when its turn comes. A name that somebody else has is left to them. Pure.
 */
export function nameSteps({ base, services, surplus, observed, wanted }: DiagnosedDecky, host: ObservedHost): Draft[] {
  const ours = [
    { wanted: wanted.base.name, service: "", seen: base.seen },
    ...services.map((each) => ({ wanted: each.wanted.name, service: each.wanted.service, seen: each.seen })),
  ];
  const removed = new Set(surplus.map(({ id }) => id));
  const holders = new Map([...host.nameHolders].filter(([, { isOurs }]) => isOurs).map(([name, { id }]) => [name, id]));
  for (const { name, id } of observed.containers) if (!removed.has(id)) holders.set(name, id);
  for (const [name, id] of holders) if (removed.has(id)) holders.delete(name);
  const misnamed = ours.flatMap(({ seen, ...each }): Misnamed[] =>
    seen === undefined || seen.name === each.wanted ? [] : [{ id: seen.id, name: seen.name, ...each }],
  );
  const steps: Draft[] = [];
  const rename = (id: string, name: string, to: string, more: Pick<Draft, "service" | "cause">) => {
    steps.push({ verb: "rename", target: to, container: to, id, ...more });
    holders.delete(name);
    holders.set(to, id);
  };
  const clear = (name: string, forId: string | undefined, service: string) => {
    const holder = holders.get(name);
    if (holder === undefined || holder === forId) return;
    rename(holder, name, `${name}-aside-${holder.slice(0, 12)}`, { service, cause: `has the name ${name} wrongly` });
  };
  for (const { wanted: name, service, seen } of ours) clear(name, seen?.id, service);
  for (const { id, name, wanted: to, service } of misnamed)
    rename(id, name, to, { service, cause: `is called ${name} instead of ${to}` });
  return steps;
}
