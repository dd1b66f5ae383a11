import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ChangeAction, OperationSchema, type PlanSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { expect, it } from "vitest";
import { formatPlan } from "./plan.ts";

const text = (plan: MessageInitShape<typeof PlanSchema>, verbose = false) =>
  formatPlan(create(OperationSchema, { decky: { name: "web-07" }, host: "edge-03", plan: { baseRevision: 41, ...plan } }), {
    verbose,
  });

it("shows what is added, with its settings, and what is left alone", () => {
  const plan = text({
    changes: [
      {
        service: "redis",
        action: ChangeAction.ADDED,
        fields: [
          { key: "maxmemory_mb", action: ChangeAction.ADDED, after: "64" },
          { key: "password", action: ChangeAction.ADDED, secret: true },
        ],
      },
    ],
    steps: [
      { number: 1, verb: "write-project", target: "decnet_web-07", cause: "revision 42" },
      { number: 2, verb: "create", target: "web-07-redis", cause: "requested", service: "redis" },
      { number: 3, verb: "settle", target: "web-07-redis", cause: "6379/tcp must listen within 10 s", service: "redis" },
    ],
    untouched: ["web-07", "web-07-ssh"],
  });
  expect(plan).toBe(
    [
      "Plan for web-07 on edge-03, r41 → r42",
      "    + redis    create web-07-redis   requested",
      "        + maxmemory_mb 64",
      "        + password     (secret)",
      "    = base, ssh   not touched",
    ].join("\n"),
  );
});

it("names risks with what is at stake, and never the value of a secret", () => {
  const plan = text({
    changes: [
      {
        service: "ssh",
        action: ChangeAction.CHANGED,
        fields: [
          { key: "banner", action: ChangeAction.CHANGED, before: '"a"', after: '"b\u001b[2J"' },
          { key: "password", action: ChangeAction.CHANGED, secret: true },
        ],
      },
    ],
    steps: [{ number: 1, verb: "recreate", target: "web-07-ssh", cause: "config changed", service: "ssh" }],
    risks: [{ code: "cut-sessions", count: 1, message: "1 open session will be cut", subjects: ["198.51.100.7"] }],
  });
  expect(plan).toBe(
    [
      "Plan for web-07 on edge-03, r41 → r42",
      "  +/- ssh      recreate web-07-ssh   config changed",
      '      +/- banner       "a" → "b\\x1b[2J"',
      "      +/- password     (secret) → (secret, changed)",
      "    ! 1 open session will be cut: 198.51.100.7   (risk: cut-sessions)",
    ].join("\n"),
  );
});

it("counts the settings that go with a removed service", () => {
  const fields = ["a", "b", "c"].map((key) => ({ key, action: ChangeAction.REMOVED, before: "1" }));
  const plan = text({
    changes: [{ service: "ftp", action: ChangeAction.REMOVED, fields }],
    steps: [
      { number: 1, verb: "stop", target: "web-07-ftp", cause: "no longer wanted", service: "ftp" },
      { number: 2, verb: "remove", target: "web-07-ftp", cause: "no longer wanted", service: "ftp" },
    ],
  });
  expect(plan).toContain(
    "    - ftp      stop + remove web-07-ftp   no longer wanted\n        - 3 stored settings are deleted too",
  );
});

it("shows steps that nobody asked for by name, and every step when asked", () => {
  const steps = [{ number: 1, verb: "recreate", target: "web-07", cause: "base is dead", service: "" }];
  expect(text({ steps })).toContain("  +/- base     recreate web-07   base is dead");
  expect(text({ steps }, true)).toContain("      1. recreate web-07   base is dead");
});

it("says when there is nothing to do", () => {
  expect(text({})).toBe("Plan for web-07 on edge-03, r41: nothing to do");
});

it("sums a fleet up", () => {
  const deckies = ["deploy", "teardown"].map((action, index) => ({
    decky: { name: `web-0${index}` },
    host: "local",
    action,
    plan: { changes: [{ service: "ssh" }] },
  }));
  expect(formatPlan(create(OperationSchema, { plan: { deckies, untouched: ["a"] } }))).toBe(
    [
      "Plan for the fleet: 1 to deploy, 1 to teardown, 1 not touched",
      "  + web-00   deploy on local: ssh",
      "  - web-01   teardown on local: ssh",
    ].join("\n"),
  );
});

it("says what was left out, also when there is nothing to do", () => {
  const warnings = ["sever_header: not a setting of http; did you mean server_header?"];
  expect(text({ warnings })).toBe(
    "Plan for web-07 on edge-03, r41: nothing to do\n  ! sever_header: not a setting of http; did you mean server_header?",
  );
});
