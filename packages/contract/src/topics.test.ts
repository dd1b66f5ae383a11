import { expect, it } from "vitest";
import { eventKinds } from "./gen/events.ts";
import { isTopicPattern, keyOf, kindOf, matchesTopic, topicOf } from "./topics.ts";

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

it("names a topic by its subject and what happened", () => {
  const state = {
    decky_name: "web-01",
    topology_id: null,
    host: "local",
    state: "running",
    previous_state: "changing",
    message: "",
  };
  expect([topicOf("decky.state", state), keyOf("decky.state", state)]).toEqual(["decky.web-01.state", "web-01"]);
  const dropped = { count: 1, until_sequence: "7", until: "2026-01-01T00:00:00.000Z" };
  expect([topicOf("system.bus.dropped", dropped), keyOf("system.bus.dropped", dropped)]).toEqual([
    "system.bus.dropped",
    "system",
  ]);
});

it.each(Object.entries(eventKinds))("%s: its topic is a pattern of itself, and leads back to the kind", (kind, { topic }) => {
  const example = topic.replace(/\{\w+\}/g, "x-1");
  expect([isTopicPattern(example), matchesTopic(example, example), kindOf(example)]).toEqual([true, true, kind]);
});

it("knows no kind of a topic that nothing is told on", () => expect(kindOf("decky.web-01.unheard_of")).toBeUndefined());
