import { describe, expect, it } from "vitest";
import { formatPlan, type Step } from "../plan/plan.ts";
import type { ObservedPublications, Publication } from "./publication.ts";
import {
  blockPublications,
  differPublications,
  planClosing,
  planOpening,
  publicationTroubles,
  readPublications,
  renderPublications,
} from "./published.ts";

const ssh: Publication = { address: "192.0.2.5", port: 22, protocol: "tcp", to: "10.0.0.2", decky: "t1/gateway" };
const dns: Publication = { ...ssh, port: 53, protocol: "udp" };
const host = (more: Partial<ObservedPublications> = {}): ObservedPublications => ({
  unable: "",
  there: [],
  passed: new Set(["192.0.2.5"]),
  isAsMade: true,
  addresses: new Set(["192.0.2.5", "192.0.2.6"]),
  listeners: [],
  ...more,
});

const tell = (wanted: readonly Publication[], seen: ObservedPublications | undefined) => {
  const todo = differPublications(wanted, "t1/gateway", seen);
  const drafts = [...blockPublications(todo, seen), ...planClosing(todo, "no longer wanted"), ...planOpening(todo)];
  return formatPlan({ steps: drafts.map((draft, index) => ({ ...draft, number: index + 1 }) as Step) });
};

describe("ports of a gateway", () => {
  it.each<[string, readonly Publication[], ObservedPublications | undefined, string]>([
    ["that are there are left alone", [ssh, dns], host({ there: [ssh, dns] }), "nothing to do"],
    ["are opened", [ssh, dns], host(), "1 publish 192.0.2.5:22/tcp,53/udp (visitors do not get there)"],
    ["that nobody wants are closed", [ssh], host({ there: [ssh, dns] }), "1 unpublish 192.0.2.5:53/udp (no longer wanted)"],
    [
      "lead to its own address",
      [ssh],
      host({ there: [{ ...ssh, to: "10.0.0.9" }] }),
      "1 unpublish 192.0.2.5:22/tcp (no longer wanted)\n2 publish 192.0.2.5:22/tcp (visitors do not get there)",
    ],
    [
      "are laid again when somebody changed the rules",
      [ssh],
      host({ there: [ssh], isAsMade: false }),
      "1 publish 192.0.2.5:22/tcp (visitors do not get there)",
    ],
    [
      "are laid again when the engine lets nobody through",
      [ssh],
      host({ there: [ssh], passed: new Set() }),
      "1 publish 192.0.2.5:22/tcp (visitors do not get there)",
    ],
    ["of another one are not touched", [], host({ there: [{ ...ssh, decky: "t2/gateway" }] }), "nothing to do"],
    ["are nobody's business where nothing was looked at", [ssh], undefined, "nothing to do"],
  ])("%s", (_, wanted, seen, plan) => expect(tell(wanted, seen)).toBe(plan));

  it.each<[string, ObservedPublications, string]>([
    [
      "the host listens there",
      host({ listeners: [{ port: "22/tcp", address: "192.0.2.5", holder: "sshd (process 7)" }] }),
      "PORT_CONFLICT: 22/tcp of 192.0.2.5 is used by sshd (process 7) of this host",
    ],
    [
      "the host listens everywhere",
      host({ listeners: [{ port: "22/tcp", address: "", holder: "sshd (process 7)" }] }),
      "PORT_CONFLICT: 22/tcp of 192.0.2.5 is used by sshd",
    ],
    [
      "another gateway has it",
      host({ there: [{ ...ssh, decky: "t2/gateway" }] }),
      "PORT_CONFLICT: 22/tcp of 192.0.2.5 is published for t2/gateway already",
    ],
    ["the host has no such address", host({ addresses: new Set() }), "192.0.2.5 is not an address of this host"],
    ["nothing can be published here", host({ unable: "no nft" }), "no nft"],
  ])("are refused when %s", (_, seen, cause) =>
    expect(tell([ssh], seen)).toMatch(new RegExp(`^1 blocked .*${cause.replaceAll(/[.()]/g, "\\$&")}`)),
  );

  it("are taken while the host listens on another of its addresses", () => {
    expect(tell([ssh], host({ listeners: [{ port: "22/tcp", address: "192.0.2.6", holder: "sshd" }] }))).toMatch(/^1 publish/);
  });

  it("that are missing are told", () => {
    expect(publicationTroubles(differPublications([ssh], "t1/gateway", host()))).toEqual(["not published: 192.0.2.5:22/tcp"]);
  });

  it("are read as they are listed", () => {
    const listing = `table ip decnet-published-i {
	map tcp_ports {
		type ipv4_addr . inet_service : ipv4_addr . inet_service
		elements = { 192.0.2.5 . 22 comment "t1/gateway" : 10.0.0.2 . 22, 192.0.2.5 . 80 comment "t2/web" : 10.0.1.2 . 80 }
	}
	map udp_ports {
		type ipv4_addr . inet_service : ipv4_addr . inet_service
		elements = { 192.0.2.5 . 53 comment "t1/gateway" : 10.0.0.2 . 53 }
	}
	chain visitors {
		type nat hook prerouting priority -101; policy accept;
		iifname { "br-*", "docker0" } accept
		dnat ip to ip daddr . tcp dport map @tcp_ports
		dnat ip to ip daddr . udp dport map @udp_ports
	}
	chain own {
		type nat hook output priority -101; policy accept;
		dnat ip to ip daddr . tcp dport map @tcp_ports
		dnat ip to ip daddr . udp dport map @udp_ports
	}
}`;
    const web = { ...ssh, port: 80, to: "10.0.1.2", decky: "t2/web" };
    expect(readPublications(listing)).toEqual({ there: [ssh, web, dns], isAsMade: true });
    expect(readPublications(listing.replace("dnat ip to ip daddr . udp dport map @udp_ports", "")).isAsMade).toBe(false);
  });

  it("are added and deleted without touching others", () => {
    const script = renderPublications("i", { add: [ssh], remove: [dns] });
    expect(script).toContain(
      'add element ip decnet-published-i tcp_ports { 192.0.2.5 . 22 comment "t1/gateway" : 10.0.0.2 . 22 }',
    );
    expect(script).toContain("delete element ip decnet-published-i udp_ports { 192.0.2.5 . 53");
    expect(script).not.toContain("delete table");
  });
});
