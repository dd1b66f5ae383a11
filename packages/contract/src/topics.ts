/** Names and patterns of the topics that events go out on: `decky.web-01.service_added`, `host.edge-1.state`. */

/** What happens to a decky: the last segment of `decky.<name>.<event>`. */
export const deckyEvents = [
  "state",
  "lifecycle",
  "service_added",
  "service_removed",
  "service_config_changed",
  "rotated",
] as const;
export type DeckyEvent = (typeof deckyEvents)[number];

/** What happens to a host: the last segment of `host.<name>.<event>`. */
export const hostEvents = ["state", "second_agent"] as const;
export type HostEvent = (typeof hostEvents)[number];

/** What happens to a topology: the last segment of `topology.<id>.<event>`. */
export const topologyEvents = ["status"] as const;
export type TopologyEventName = (typeof topologyEvents)[number];

export function topologyTopic(id: string, event: TopologyEventName): string {
  return `topology.${id}.${event}`;
}

export function deckyTopic(name: string, event: DeckyEvent): string {
  return `decky.${name}.${event}`;
}

export function hostTopic(name: string, event: HostEvent): string {
  return `host.${name}.${event}`;
}

/** Whether a topic matches a pattern: `*` is exactly one segment, a last `>` is one or more. */
export function matchesTopic(pattern: string, topic: string): boolean {
  return matchesSegments(pattern.split("."), topic.split("."));
}

function matchesSegments(wanted: readonly string[], given: readonly string[]): boolean {
  for (const [index, segment] of wanted.entries()) {
    if (segment === ">") return index === wanted.length - 1 && given.length > index;
    if (given[index] === undefined || (segment !== "*" && segment !== given[index])) return false;
  }
  return wanted.length === given.length;
}

/** The same for many topics: the patterns are read once. */
export function topicMatcher(patterns: readonly string[]): (topic: string) => boolean {
  if (patterns.length === 0 || patterns.includes(">")) return () => true;
  const wanted = [...new Set(patterns)].map((pattern) => pattern.split("."));
  return (topic) => {
    const given = topic.split(".");
    return wanted.some((segments) => matchesSegments(segments, given));
  };
}

const longestPattern = 256;

export function isTopicPattern(pattern: string): boolean {
  if (pattern.length > longestPattern) return false;
  const segments = pattern.split(".");
  return segments.every((segment, index) => {
    if (segment === ">") return index === segments.length - 1;
    return segment === "*" || /^[^.*>\s]+$/.test(segment);
  });
}
