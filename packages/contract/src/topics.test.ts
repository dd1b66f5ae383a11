import { expect, it } from "vitest";
import {
  deckyEvents,
  deckyTopic,
  hostEvents,
  hostTopic,
  isTopicPattern,
  matchesTopic,
  topologyEvents,
  topologyTopic,
} from "./topics.ts";

it.each([
  ["decky.*.state", "decky.web-01.state", true],
  ["decky.*.state", "decky.state", false],
  ["decky.>", "decky.web-01.service_added", true],
  ["decky.>", "decky", false],
  [">", "host.local.state", true],
  ["decky.*", "decky.web-01.state", false],
  ["decky.web-01.state", "decky.web-01.state", true],
])("%s against %s: %s", (pattern, topic, fits) => expect(matchesTopic(pattern, topic)).toBe(fits));

it.each(["", "a..b", ">.a", "a b", "a*", "a".repeat(257)])("%j is not a pattern", (pattern) =>
  expect(isTopicPattern(pattern)).toBe(false),
);

it("names a topic by its subject and what happened, and every topic is a pattern of itself", () => {
  const topics = [
    ...deckyEvents.map((event) => deckyTopic("web-01", event)),
    ...hostEvents.map((event) => hostTopic("edge-1", event)),
    ...topologyEvents.map((event) => topologyTopic("t0123456789ab", event)),
  ];
  expect(topics).toEqual([
    "decky.web-01.state",
    "decky.web-01.lifecycle",
    "decky.web-01.service_added",
    "decky.web-01.service_removed",
    "decky.web-01.service_config_changed",
    "decky.web-01.rotated",
    "host.edge-1.state",
    "host.edge-1.second_agent",
    "topology.t0123456789ab.status",
  ]);
  for (const topic of topics) expect([isTopicPattern(topic), matchesTopic(topic, topic)]).toEqual([true, true]);
});
