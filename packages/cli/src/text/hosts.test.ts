import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  CreateJoinTokenResponseSchema,
  HostSchema,
  HostState,
  JoinTokenSchema,
  RefusedJoinSchema,
} from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { describe, expect, it } from "vitest";
import { formatHosts, formatInvitation, formatRefusal, joinSteps } from "./hosts.ts";

const now = Date.UTC(2026, 10, 24, 3, 0);
const facts = { agentVersion: "0.1.0", engineVersion: "26.1.5", composeVersion: "2.26.1" };
const edge = create(HostSchema, {
  name: "edge-03",
  state: HostState.CONNECTED,
  lastSeen: timestampFromMs(now - 2_000),
  certificateExpiresAt: timestampFromMs(now + 23 * 3_600_000),
  deckies: { running: 12, failed: 1 },
  address: "203.0.113.9",
  facts,
});

describe("the list of hosts", () => {
  it("says state, age, what the certificate has left, and how many deckies are well and not well", () => {
    const lost = create(HostSchema, {
      name: "edge-07",
      state: HostState.UNREACHABLE,
      draining: true,
      lastSeen: timestampFromMs(now - 240_000),
      certificateExpiresAt: timestampFromMs(now - 1_000),
      deckies: { unknown: 14 },
    });
    expect(formatHosts([edge, lost], now)).toBe(
      [
        "NAME     STATE                    SEEN  CERT     DECKIES  VERSION",
        "edge-03  connected                2s    23h      12/1     0.1.0",
        "edge-07  ? unreachable, draining  4m    × ended  0/14     -",
      ].join("\n"),
    );
    expect(formatHosts([], now)).toContain("decnet host invite");
  });
});

describe("an invitation", () => {
  it("says what to run, and until when", () => {
    const token = { id: "t1", expiresAt: timestampFromMs(now + 31 * 60_000) };
    const made = create(CreateJoinTokenResponseSchema, { secret: "dk1.x", masters: ["master.example:7443"], token });
    const text = formatInvitation(made);
    expect(text).toContain("  ./decnet agent join dk1.x --run\n");
    expect(text).toContain("outbound TCP to\nmaster.example:7443; no open port");
    expect(text).toContain("Single use, ends 03:31 UTC.");
  });

  it("shows the steps that were taken, and a refusal with its reason", () => {
    expect(joinSteps(create(JoinTokenSchema), undefined, now)).toEqual([]);
    const used = create(JoinTokenSchema, { usedAt: timestampFromMs(now) });
    expect(joinSteps(used, edge, now)).toEqual([
      "✔ token used from 203.0.113.9",
      "✔ certificate 23h",
      "✔ docker 26.1.5, compose 2.26.1 ok",
      "✔ catalog matches",
      "✔ connected",
    ]);
    const refused = create(RefusedJoinSchema, { reason: "CLOCK_SKEW", message: "7 m ahead\u001b[2J", machineName: "box" });
    expect(formatRefusal(refused)).toBe("✖ refused CLOCK_SKEW  7 m ahead\\x1b[2J  (box)");
  });
});
