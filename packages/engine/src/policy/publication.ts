/** One port on an address of the host, and the decky that answers there. */
export interface Publication {
  /** Of the host. */
  readonly address: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  /** The decky's own address in the DMZ. */
  readonly to: string;
  /** Whose it is: `<scope>/<name>`. */
  readonly decky: string;
}

/** What is published on a host by this installation. */
export interface ObservedPublications {
  /** Why this host cannot publish anything, and what to do about it; empty when it can. */
  readonly unable: string;
  readonly there: readonly Publication[];
  /** Addresses of the host whose visitors the engine's own rules let through. */
  readonly passed: ReadonlySet<string>;
  /** Whether everything but the ports is as it is made. */
  readonly isAsMade: boolean;
  /** Every address of the host. */
  readonly addresses: ReadonlySet<string>;
  /** Programs of the host on the ports in question. */
  readonly listeners: readonly HostListener[];
}

/** Who listens on a port of the host. */
export interface HostListener {
  /** `22/tcp` */
  readonly port: string;
  /** Empty: every address. */
  readonly address: string;
  /** For people. */
  readonly holder: string;
}
