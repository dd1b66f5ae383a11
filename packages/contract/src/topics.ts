import { type EventKind, type EventPayloads, eventKinds } from "./gen/events.ts";

/** Names and patterns of the topics that events go out on: `decky.web-01.service_added`, `host.edge-1.state`. */

/** The topic of an event of this kind. */
export function topicOf<Kind extends EventKind>(kind: Kind, payload: EventPayloads[Kind]): string {
  return fill(eventKinds[kind].topic, payload);
}

/** Events with one key keep their order. */
export function keyOf<Kind extends EventKind>(kind: Kind, payload: EventPayloads[Kind]): string {
  return fill(eventKinds[kind].key, payload);
}

function fill(template: string, payload: object): string {
  const values: Readonly<Record<string, unknown>> = { ...payload };
  return template.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]));
}

/** The kind of a topic's events; undefined for one that has none. The second segment names what most events are about. */
export function kindOf(topic: string): EventKind | undefined {
  const [family = "", , ...what] = topic.split(".");
  const kind = [family, ...what].join(".");
  return isKind(kind) ? kind : isKind(topic) ? topic : undefined;
}

function isKind(text: string): text is EventKind {
  return Object.hasOwn(eventKinds, text);
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
