import { busFamilies, eventKinds } from "./gen/events.ts";
import { kindOf } from "./topics.ts";

/** How topics of events become topics of Kafka. */

export const defaultBusPrefix = "decnet";

/** `decky.web-01.state` goes out on `decnet.decky`; what belongs to no family, on the one of the system. */
export function busTopicOf(topic: string, prefix: string = defaultBusPrefix): string {
  const [first = ""] = topic.split(".", 1);
  return `${prefix}.${busFamilies.find((family) => family === first) ?? "system"}`;
}

export function busTopics(prefix: string = defaultBusPrefix): string[] {
  return busFamilies.map((family) => `${prefix}.${family}`);
}

/** What changes are asked for on, and where requests go that cannot be done. */
export function commandTopics(prefix: string = defaultBusPrefix): { readonly commands: string; readonly dead: string } {
  return { commands: `${prefix}.commands`, dead: `${prefix}.commands.dead` };
}

/** What an event is about, such as `decky.web-01`. */
export function subjectOf(topic: string): string {
  return topic.split(".").slice(0, 2).join(".");
}

/** The CloudEvents type: `decnet.decky.state.v1`. */
export function eventTypeOf(topic: string, version: number): string {
  return `decnet.${kindOf(topic) ?? topic}.v${version}`;
}

/** The version that events of a topic have which are made now. */
export function versionOf(topic: string): number {
  const kind = kindOf(topic);
  return kind === undefined ? 1 : eventKinds[kind].version;
}
