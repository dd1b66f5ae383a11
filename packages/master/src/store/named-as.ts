/** Conditions about deckies as commands name them: `web-01` in the fleet, `corp/web-01` in the topology `corp`. */

/** The name of a scope's topology; empty for the fleet. */
export function topologyName(scope: string): string {
  return `coalesce((SELECT topology.name FROM topologies AS topology WHERE topology.id = ${scope}), '')`;
}

export function namedAs(scope: string, name: string, comparison: string): string {
  return (
    `(${scope} = 'fleet' AND ${name} ${comparison}) OR ` +
    `(${scope} <> 'fleet' AND ${topologyName(scope)} || '/' || ${name} ${comparison})`
  );
}
