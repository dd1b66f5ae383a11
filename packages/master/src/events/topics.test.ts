import { expect, it } from "vitest";
import { isTopicPattern, matchesTopic } from "./topics.ts";

it.each([
  ["decky.*.state", "decky.web-01.state", true],
  ["decky.*.state", "decky.state", false],
  ["decky.>", "decky.web-01.service_added", true],
  ["decky.>", "decky", false],
  [">", "host.local.state", true],
  ["decky.*", "decky.web-01.state", false],
  ["decky.web-01.state", "decky.web-01.state", true],
])("%s against %s: %s", (pattern, topic, fits) => expect(matchesTopic(pattern, topic)).toBe(fits));

it.each(["", "a..b", ">.a", "a b", "a*"])("%j is no pattern", (pattern) => expect(isTopicPattern(pattern)).toBe(false));
