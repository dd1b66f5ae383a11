/**
 * What a master and an agent must have in common. Counts up when the meaning of their contract changes so that an older side
 * would be wrong.
 */
export const protocolVersion = 1;

/** ALPN of the connection that an agent opens and then serves. */
export const agentAlpn = "decnet-agent/1";
