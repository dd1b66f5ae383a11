// Made by `npm run generate` from proto/decnet/v1/bus.proto; change that.

/** What is seen of a decky is another thing than before. */
export interface DeckyStateChanged {
  readonly decky_name: string;
  /** Null for a decky of the fleet. */
  readonly topology_id: string | null;
  /** Where it runs. */
  readonly host: string;
  /** `running`, `degraded`, `detached`, `failed`, `unknown`, `changing`, `pending`, or `gone` when it was removed. */
  readonly state: string;
  readonly previous_state: string;
  /** Why, in a sentence; may be empty. */
  readonly message: string;
}

/** A change of one decky has ended, or a repair. */
export interface DeckyLifecycle {
  readonly decky_name: string;
  /** Null for a decky of the fleet. */
  readonly topology_id: string | null;
  /** Its id. */
  readonly operation: string;
  /** Who asked for it. */
  readonly actor: string;
  /** Of the decky, that the change made; 0 when it made none. */
  readonly revision: number;
  /** `add_service`, `deploy_decky`, `repair` and so on: the kinds of operations. */
  readonly kind: string;
  /** `succeeded`, `failed`, `cancelled` or `superseded`. */
  readonly state: string;
  /** The stable name of what went wrong; empty otherwise. */
  readonly reason: string;
  readonly message: string;
  /** What the caller named the request, or the id of the command; empty when it had none. */
  readonly request_id: string;
}

/** A service runs that the decky did not have. */
export interface DeckyServiceAdded {
  readonly decky_name: string;
  /** Null for a decky of the fleet. */
  readonly topology_id: string | null;
  readonly operation: string;
  readonly actor: string;
  readonly revision: number;
  /** A slug of the catalog. */
  readonly service_name: string;
  /** All that the decky has now. */
  readonly services: readonly string[];
}

/** A service is gone, and its settings with it. */
export interface DeckyServiceRemoved {
  readonly decky_name: string;
  /** Null for a decky of the fleet. */
  readonly topology_id: string | null;
  readonly operation: string;
  readonly actor: string;
  readonly revision: number;
  /** A slug of the catalog. */
  readonly service_name: string;
  /** All that the decky has now. */
  readonly services: readonly string[];
}

/** Settings of a service were changed, or saved for the next apply. */
export interface DeckyServiceConfigChanged {
  readonly decky_name: string;
  /** Null for a decky of the fleet. */
  readonly topology_id: string | null;
  readonly operation: string;
  readonly actor: string;
  readonly revision: number;
  /** A slug of the catalog. */
  readonly service_name: string;
  /** Of the settings that changed. */
  readonly keys: readonly string[];
  /** As it was saved last. A secret, and what is not known to be none, is `[redacted]`. */
  readonly service_config: Readonly<Record<string, unknown>>;
  /** Whether its container is a new one. */
  readonly recreated: boolean;
}

/** Services changed by themselves: each that went and came has an event of its own, and this is all of it together. */
export interface DeckyRotated {
  readonly decky_name: string;
  /** Null for a decky of the fleet. */
  readonly topology_id: string | null;
  readonly operation: string;
  readonly actor: string;
  readonly revision: number;
  /** Slugs of the catalog. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** All that the decky has now. */
  readonly services: readonly string[];
}

/** A topology is deployed, degraded, torn down and so on. */
export interface TopologyStatusChanged {
  readonly topology_id: string;
  /** Its name. */
  readonly topology: string;
  readonly host: string;
  /** `pending`, `deploying`, `active`, `degraded`, `failed`, `tearing_down` or `torn_down`. */
  readonly state: string;
  readonly previous_state: string;
  readonly reason: string;
}

/** The design of a topology is another one: it was edited, or an edit that failed or was cancelled was taken back. */
export interface TopologyDesignChanged {
  readonly topology_id: string;
  /** Its name. */
  readonly topology: string;
  readonly host: string;
  /** The design's version now. */
  readonly design_version: number;
  /** The edit, by its id. */
  readonly operation: string;
  /** Who asked for the edit, or cancelled it. */
  readonly actor: string;
  /** Whether the edit was taken back. */
  readonly taken_back: boolean;
}

/** A worker joined, came, went away or was removed. */
export interface HostStateChanged {
  readonly host: string;
  /** `enrolled`, `connected`, `unreachable` or `decommissioned`. */
  readonly state: string;
  readonly message: string;
}

/** Somebody else used a worker's key beside the agent that is connected with it. */
export interface HostSecondAgent {
  readonly host: string;
  /** Where it came from. */
  readonly address: string;
  /** Of the agent that serves the host. */
  readonly first_address: string;
  readonly message: string;
}

/** A change of many deckies has ended: a fleet, a batch, a drain, a topology. Those of its parts are told on their deckies. */
export interface OperationEnded {
  /** Its id. */
  readonly operation: string;
  readonly kind: string;
  /** `succeeded`, `failed` or `cancelled`. */
  readonly state: string;
  readonly actor: string;
  /** Of the topology that it is about; null otherwise. */
  readonly topology_id: string | null;
  /** The worker that it is about; empty otherwise. */
  readonly host: string;
  /** The stable name of what went wrong; empty otherwise. */
  readonly reason: string;
  readonly message: string;
  /** What the caller named the request; empty when it had none. */
  readonly request_id: string;
}

/** Events were removed before the bus had them: it was away for so long that more waited than are kept. */
export interface SystemBusDropped {
  /** How many. */
  readonly count: number;
  /** Up to this sequence. */
  readonly until_sequence: string;
  /** RFC 3339: none of them is younger. */
  readonly until: string;
}

/** Asks for a change of one service of one decky; docs/bus.md says how it is signed. */
export interface DeckyMutateRequest {
  readonly decky_name: string;
  /** The topology's name or id; null for a decky of the fleet. */
  readonly topology_id: string | null;
  /** `add`, `remove` or `update`. */
  readonly action: string;
  /** A slug of the catalog. */
  readonly service_name: string;
  /** Settings, for `add` and `update`. */
  readonly service_config: Readonly<Record<string, unknown>>;
  /** For `update`: settings that are not named stay as they are. */
  readonly merge: boolean;
  /** For the record. */
  readonly reason: string;
  /** The change is refused when the decky has another one by now; null: whatever it has. */
  readonly expected_revision: number | null;
}

/** What events carry, by their kind. */
export interface EventPayloads {
  readonly "decky.state": DeckyStateChanged;
  readonly "decky.lifecycle": DeckyLifecycle;
  readonly "decky.service_added": DeckyServiceAdded;
  readonly "decky.service_removed": DeckyServiceRemoved;
  readonly "decky.service_config_changed": DeckyServiceConfigChanged;
  readonly "decky.rotated": DeckyRotated;
  readonly "topology.status": TopologyStatusChanged;
  readonly "topology.design": TopologyDesignChanged;
  readonly "host.state": HostStateChanged;
  readonly "host.second_agent": HostSecondAgent;
  readonly "operation.ended": OperationEnded;
  readonly "system.bus.dropped": SystemBusDropped;
  readonly "decky.mutate_request": DeckyMutateRequest;
}

export type EventKind = keyof EventPayloads;

/** Braces in a topic name fields of what the event carries. Commands are sent to us. */
export const eventKinds = {
  "decky.state": {"topic":"decky.{decky_name}.state","version":1,"key":"{decky_name}","isCommand":false},
  "decky.lifecycle": {"topic":"decky.{decky_name}.lifecycle","version":1,"key":"{decky_name}","isCommand":false},
  "decky.service_added": {"topic":"decky.{decky_name}.service_added","version":1,"key":"{decky_name}","isCommand":false},
  "decky.service_removed": {"topic":"decky.{decky_name}.service_removed","version":1,"key":"{decky_name}","isCommand":false},
  "decky.service_config_changed": {"topic":"decky.{decky_name}.service_config_changed","version":1,"key":"{decky_name}","isCommand":false},
  "decky.rotated": {"topic":"decky.{decky_name}.rotated","version":1,"key":"{decky_name}","isCommand":false},
  "topology.status": {"topic":"topology.{topology_id}.status","version":1,"key":"topology.{topology_id}","isCommand":false},
  "topology.design": {"topic":"topology.{topology_id}.design","version":1,"key":"topology.{topology_id}","isCommand":false},
  "host.state": {"topic":"host.{host}.state","version":1,"key":"host.{host}","isCommand":false},
  "host.second_agent": {"topic":"host.{host}.second_agent","version":1,"key":"host.{host}","isCommand":false},
  "operation.ended": {"topic":"operation.{operation}.ended","version":1,"key":"operation.{operation}","isCommand":false},
  "system.bus.dropped": {"topic":"system.bus.dropped","version":1,"key":"system","isCommand":false},
  "decky.mutate_request": {"topic":"decky.{decky_name}.mutate_request","version":1,"key":"{decky_name}","isCommand":true},
} as const;

/** What events are about: the first segment of their topics, and the topic of Kafka that they go out on. */
export const busFamilies = ["decky","topology","host","operation","system"] as const;
