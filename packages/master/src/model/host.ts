import { guardProtocolVersion } from "@decnet/common/protocol-version";

/** An enrolled worker. A decommissioned one keeps its row; its name is free again. */
export interface Host {
  readonly id: string;
  readonly name: string;
  readonly labels: Record<string, string>;
  readonly draining: boolean;
  /** Its deckies are on their way out; with the last of them its certificate ends. */
  readonly decommissioning: boolean;
  /** What its agent said of the machine, as proto-JSON. */
  readonly agentInfo: Record<string, unknown> | null;
  readonly address: string;
  readonly message: string;
  readonly engineProblem: string;
  /** Of its newest certificate. */
  readonly certificateSerial: string;
  readonly certificateNumber: number;
  /** Of the one that the newest was asked for with; see acceptsCertificate. */
  readonly acceptedNumber: number;
  readonly certificateExpiresAt: Date;
  readonly reportStream: string;
  readonly reportSequence: string;
  readonly enrolledAt: Date;
  readonly lastSeen: Date | null;
  readonly decommissionedAt: Date | null;
}

/** Whether a host can be reached by this master, by another one, or by none. */
export type Whereabouts = "here" | "elsewhere" | "away";

export type HostPatch = Partial<Omit<Host, "id">>;

export type HostState = "enrolled" | "connected" | "unreachable" | "decommissioned";

/** From each state of a worker, the states that may follow; docs/states.md has the diagram. */
export const hostTransitions: Readonly<Record<HostState, readonly HostState[]>> = {
  enrolled: ["connected", "unreachable", "enrolled", "decommissioned"],
  connected: ["unreachable", "decommissioned"],
  unreachable: ["connected", "enrolled", "decommissioned"],
  decommissioned: [],
};

export function hostStateOf(host: Pick<Host, "decommissionedAt" | "lastSeen">, isConnected: boolean): HostState {
  if (host.decommissionedAt !== null) return "decommissioned";
  if (isConnected) return "connected";
  return host.lastSeen === null ? "enrolled" : "unreachable";
}

/** What its agent speaks; 0 when it never said so. */
export function protocolOf({ agentInfo }: Pick<Host, "agentInfo">): number {
  return Number(agentInfo?.["protocolVersion"] ?? 0);
}

/** What its agent is too old for, for people; nothing is known of one that never said what it speaks. */
export function ageWarnings(host: Pick<Host, "agentInfo">): string[] {
  const protocol = protocolOf(host);
  if (protocol === 0 || protocol >= guardProtocolVersion) return [];
  return ["egress_open: its agent is too old to keep deckies from calling out, and to route between their LANs: update it"];
}

/**
 * Whether a certificate still counts: the one that the newest was asked for with, or one that is as new as that or newer, which a
 * database that is of a backup has not heard of. What was issued in between belongs to somebody else.
 */
export function acceptsCertificate(
  { acceptedNumber, certificateNumber }: Pick<Host, "acceptedNumber" | "certificateNumber">,
  number: number,
): boolean {
  return number === acceptedNumber || number >= Math.max(acceptedNumber, certificateNumber);
}

export interface JoinToken {
  readonly id: string;
  readonly hostName: string;
  readonly secretHash: string;
  readonly labels: Record<string, string>;
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly expiresAt: Date;
  readonly usedAt: Date | null;
  /** Hash of the key that it was used for: the same worker may ask again when a response was lost. */
  readonly usedKey: string | null;
  readonly revokedAt: Date | null;
  readonly hostId: string | null;
}

export interface RefusedJoin {
  readonly id: string;
  readonly at: Date;
  readonly tokenId: string;
  readonly hostName: string;
  readonly machineName: string;
  readonly address: string;
  readonly reason: string;
  readonly message: string;
  /** How often the same came from there; repetitions are counted. */
  readonly times: number;
}
