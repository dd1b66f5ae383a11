import { type ContextKey, createContextKey } from "@connectrpc/connect";

/** Where a caller came in: on the master's own machine, or from anywhere. */
export type Port = "plaintext" | "tls";

/** One connection, as far as the limits go. Whoever has not proved who he is makes room for others. */
export interface Connection {
  /** Whom the limits of one address are for; empty when it was gone before it could be read. */
  readonly source: string;
  readonly port: Port;
  /** Whose turn it is on: its source and its port. */
  readonly line: string;
  isProven(): boolean;
  /** Who proved who he is, with all of his connections; or where a stranger comes from. */
  owner(): string;
  /** A caller on it proved to be `who`. Of one, only so many connections count. */
  prove(who: string, most: number): void;
  /** A call begins; call what is returned when it has ended. */
  begin(): () => void;
  /** Whether a call may be made on it that shows no credential: of strangers there are only so many in a second. */
  takesBareCall(): boolean;
  /**
   * Whether a credential may be tried on it: the first one of each connection, and as long as none was refused; then there are
   * only so many in a second, as those of everybody who guesses.
   */
  takesTry(): boolean;
  /** A credential was refused on it: one that goes on trying is cut. */
  wasRefused(): void;
  /** Calls back when the next credential was accepted or refused; one listener at a time. */
  onVerdict(listener: () => void): void;
  /** The handshake is over, and it can be ended in the way of its protocol. */
  opened(end: () => void): void;
  onProven(listener: () => void): void;
  /** Somebody else looks after it from now on: it is never idle. */
  handOver(): void;
  /** Cuts it for what was done on it. */
  expel(): void;
  /** Of the bytes that were read of it already, more calls may come. */
  isExpelled(): boolean;
}

/** Stands for a connection that is not looked after, as those that a test makes by itself. */
const anyConnection: Connection = {
  source: "",
  port: "plaintext",
  line: "",
  isProven: () => true,
  owner: () => "",
  prove: () => undefined,
  begin: () => () => undefined,
  takesBareCall: () => true,
  takesTry: () => true,
  wasRefused: () => undefined,
  onVerdict: (listener) => listener(),
  opened: () => undefined,
  onProven: () => undefined,
  handOver: () => undefined,
  expel: () => undefined,
  isExpelled: () => false,
};

/** Set for every call by the server. */
export const kConnection: ContextKey<Connection> = createContextKey(anyConnection, { description: "the caller's connection" });

/** Set for calls that are to be refused because strangers call too often. */
export const kTooOften: ContextKey<boolean> = createContextKey<boolean>(false, { description: "strangers call too often" });
