import { describe, expect, it } from "vitest";
import { baseRows } from "./base-rows.test.support.ts";
import {
  ftp,
  heldBy,
  observe,
  reattach,
  rejoin,
  type Situation,
  see,
  ssh,
  startedAt,
  waits,
  wanted,
} from "./diagnose.test.support.ts";
import { diagnoseDecky } from "./diagnose.ts";
import { judgeDecky } from "./judge.ts";
import { serviceRows } from "./service-rows.test.support.ts";

describe("the diagnosis of a service, and its cure", () => {
  it.each(serviceRows)("%s", (_, situation, word, sentence, cure) => {
    const { diagnosed, judged, planned } = see(situation);
    expect(diagnosed.services.map(({ diagnosis }) => [diagnosis.word, diagnosis.sentence, planned("ssh")])).toEqual([
      [word, sentence, cure],
    ]);
    expect(judged.services.map(({ state, message }) => [state, message])).toEqual([[word, sentence]]);
  });
});

describe("the diagnosis of a base, and its cure", () => {
  it.each(baseRows)("%s", (_, situation, word, sentence, cure) => {
    const { diagnosed, planned } = see(situation);
    const { diagnosis } = diagnosed.base;
    expect([diagnosis.word, diagnosis.sentence, planned("")]).toEqual([word, sentence, cure]);
  });
});

describe("a service whose base is taken from under it, though nothing is wrong with it yet", () => {
  it.each([
    ["paused", { base: { status: "paused" } }, reattach],
    ["restarting", { base: { status: "restarting" } }, reattach],
    ["of another identity", { base: { hash: "b0" } }, rejoin],
    ["dead", { base: { status: "dead" } }, rejoin],
  ] as const)("base %s", (_, situation, cure) => {
    const { judged, planned } = see(situation);
    expect([judged.services[0]?.state, planned("ssh")]).toEqual(["running", cure]);
  });
});

describe("state and plan agree", () => {
  const surplus = { ...ssh, id: "F", name: "web-ftp", service: "ftp" };
  const rows = [...serviceRows, ...baseRows].map(([situation, facts]) => [situation, facts] as const);

  it.each<readonly [string, Situation]>([...rows, ["a service too many", { others: [surplus] }]])("%s", (_, situation) => {
    const { diagnosed, judged, steps } = see(situation);
    expect(judged.state === "running").toBe(steps.length === 0);
    for (const { slug, state } of judged.services)
      if (state !== "running") expect(steps.some((step) => step.service === slug)).toBe(true);
    if (diagnosed.base.diagnosis.word !== "running") expect(steps.some((step) => step.service === "")).toBe(true);
  });
});

describe("the state of a decky", () => {
  const surplus = { ...ssh, id: "F", name: "web-ftp", service: "ftp" };

  it.each<readonly [string, Situation, string, string]>([
    ["nothing is there", { base: undefined, ssh: undefined }, "pending", "no container was seen"],
    ["all as wanted", {}, "running", ""],
    ["no base", { base: undefined }, "failed", "base: there is no container"],
    ["base stopped", { base: { status: "exited", netns: undefined } }, "failed", "base: exited with code 0"],
    ["base of another identity", { base: { hash: "b0" } }, "degraded", "base: runs with other settings than wanted"],
    ["service gone", { ssh: undefined }, "degraded", "ssh: there is no container"],
    ["service silent", { listening: [] }, "degraded", "ssh: does not listen on 22/tcp, 23/udp"],
    ["service cut off", { ssh: { netns: "n0" } }, "detached", "ssh: is cut off from the base's network"],
    ["a service too many", { others: [surplus] }, "degraded", "ftp: is no longer wanted"],
  ])("%s", (_, situation, state, message) => {
    const { judged } = see(situation);
    expect([judged.state, judged.message]).toEqual([state, message]);
  });
});

it("a service is shown with its container, what listens, and the sessions on its ports", () => {
  const observed = observe({ listening: ["22/tcp", "80/tcp"] });
  const peer = "198.51.100.7:4000";
  const sessions = [22, 22, 80].map((port) => ({ protocol: "tcp" as const, port, peer }));
  const sockets = { ...observed.sockets, sessions };
  const { services } = judgeDecky(diagnoseDecky(wanted, { ...observed, sockets }, { made: {}, now: 0 }));
  expect(services).toMatchObject([
    { containerName: "web-ssh", containerId: "S", startedAt, restartCount: 0, listening: ["22/tcp"], openSessions: 2 },
  ]);
});

it("a container that is no longer wanted gives up the ports that it has", () => {
  const { judged, steps, planned } = see({ listening: ["23/udp"], uses: [heldBy("22/tcp", "F")], others: [ftp] });
  expect(judged.message).toBe(
    `ssh: 22/tcp is held by process 66 (nc) in web-ftp (service ftp); ${waits}; ftp: is no longer wanted`,
  );
  expect(steps.map(({ verb, target }) => `${verb} ${target}`)).toEqual([
    "stop web-ftp",
    "remove web-ftp",
    "restart web-ssh",
    "settle web-ssh",
  ]);
  expect(planned("ssh")).toBe("restart: 22/tcp was held by others, settle");
});

it("a limit that stays used up is left alone where that is wanted", () => {
  const observed = observe({ ssh: { exhaustion: { sentence: "all is in use", since: 0 } } });
  const { services } = diagnoseDecky(wanted, observed, { made: {}, now: Date.parse(startedAt) + 60_000, exhaustedMs: 0 });
  expect(services[0]?.diagnosis).toMatchObject({ word: "exhausted", remedy: "wait" });
});

it("a base whose limit is used up is said to be so, and its services go on", () => {
  const { judged, steps } = see({ base: { exhaustion: { sentence: "all is in use", since: 0 } } });
  expect([judged.state, judged.message, judged.services[0]?.state, steps]).toEqual([
    "degraded",
    "base: all is in use",
    "running",
    [],
  ]);
});
