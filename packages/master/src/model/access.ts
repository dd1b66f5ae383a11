export type Role = "viewer" | "operator" | "admin";

/** Who calls. */
export interface Caller {
  readonly tokenId: string;
  readonly name: string;
  readonly role: Role;
  /** Null for a token without an end. */
  readonly expiresAt: Date | null;
}

/** A bearer token; only a hash of its secret is kept. */
export interface Token {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly secretHash: string;
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly lastUsedAt: Date | null;
}

/** The entry of a call before its change is stored, so that both can be stored together. */
export interface AuditTicket {
  isStored: boolean;
  entryFor(operationId: string): AuditEntry;
}

export interface AuditEntry {
  readonly id: string;
  readonly at: Date;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly outcome: string;
  readonly operationId: string;
  readonly reason: string;
  readonly peer: string;
  /** How often the same was done in a row; 1 unless repetitions were counted. */
  readonly times: number;
}
