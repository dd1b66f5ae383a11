/** What an agent speaks. Counts up when the meaning of its contract changes so that an older side would be wrong. */
export const protocolVersion = 3;

/** Agents that still speak this one go on with the fleet. */
export const oldestProtocolVersion = 1;

/** From here on an agent knows deckies that are on several LANs, and LANs that are cut off. */
export const topologyProtocolVersion = 2;

/** From here on an agent keeps deckies from calling out, and routes between the LANs of a topology. */
export const guardProtocolVersion = 3;

/** ALPN of the connection that an agent opens and then serves. */
export const agentAlpn = "decnet-agent/1";
