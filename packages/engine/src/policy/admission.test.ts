import { describe, expect, it } from "vitest";
import type { DeckySpec, LanSpec } from "../spec.ts";
import { admissionRule, admissionTroubles, lansToAdmit, parseAdmissions, planAdmissions } from "./admission.ts";

const lan = (name: string, subnet: string, internal: boolean): LanSpec => ({
  name,
  driver: "bridge",
  subnet,
  gateway: subnet.replace(/0\/24$/, "1"),
  parent: undefined,
  internal,
});
const attachments = [
  { lan: lan("dmz", "10.0.0.0/24", false), ip: "10.0.0.2", mac: "" },
  { lan: lan("office", "10.0.1.0/24", true), ip: "10.0.1.2", mac: "" },
  { lan: lan("vault", "10.0.2.0/24", true), ip: "10.0.2.2", mac: "" },
] as const;
const spec = (more: Partial<DeckySpec>) => ({ attachments, forwards: false, ...more }) as DeckySpec;

describe("what is routed into a LAN that is cut off", () => {
  it("is admitted to each such LAN of a decky that forwards, and never to a DMZ, which the engine does not close", () => {
    expect(lansToAdmit(spec({ forwards: true }))).toEqual(["office", "vault"]);
  });

  it("is otherwise admitted where the decky has a neighbour that forwards", () => {
    expect(lansToAdmit(spec({ routes: [{ to: "10.0.9.0/24", via: "10.0.2.3" }] }))).toEqual(["vault"]);
    expect(lansToAdmit(spec({ routes: [{ to: "10.0.9.0/24", via: "10.0.0.3" }] }))).toEqual([]);
    expect(lansToAdmit(spec({}))).toEqual([]);
  });

  it("is planned where it is missing, unless the host has no place for it: then that is said", () => {
    const missing = ["office"];
    expect(planAdmissions({ unable: "", missing }).map(({ verb, target }) => `${verb} ${target}`)).toEqual(["admit office"]);
    expect(planAdmissions({ unable: "no chain", missing })).toEqual([]);
    expect(admissionTroubles({ unable: "no chain", missing })).toEqual(["not routed: no chain"]);
    expect(planAdmissions(undefined)).toEqual([]);
  });

  it("is told from rules of others, also of another installation", () => {
    const listing = [
      "-N DOCKER-USER",
      `-A DOCKER-USER ${admissionRule("one", "br-1").join(" ")}`,
      `-A DOCKER-USER ${admissionRule("another", "br-2").join(" ")}`,
      "-A DOCKER-USER -m conntrack --ctstate DNAT --ctorigdst 192.0.2.1 -m comment --comment decnet-one -j ACCEPT",
      "-A DOCKER-USER -i br-3 -o br-3 -j ACCEPT",
    ];
    expect(parseAdmissions("one", listing.join("\n"))).toEqual(["br-1"]);
  });
});
