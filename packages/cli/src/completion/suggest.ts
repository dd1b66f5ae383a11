import { isMap } from "../maps.ts";
import type { Answer } from "./ask.ts";
import type { Slot } from "./slots.ts";

export interface Suggestion {
  readonly value: string;
  readonly hint: string;
}

export interface Asked {
  readonly ask: (method: string, body: object) => Promise<Answer>;
  /** The operands so far; the first is the decky where there is one. */
  readonly operands: readonly string[];
  readonly current: string;
}

type Known = Exclude<Slot, "files" | "context" | { oneOf: readonly string[] }>;

/** What the master knows that fits. Only names, states and help: never a setting or a secret. */
export async function suggest(slot: Known, asked: Asked): Promise<Suggestion[]> {
  const { ask, operands } = asked;
  const decky = operands[0] ?? "";
  switch (slot) {
    case "decky":
      return (await deckies(asked)).map((each) => ({ value: nameOf(each), hint: `${state(each)} on ${text(each, "host")}` }));
    case "service":
      return (await services(asked)).map(asSlug);
    case "absent-service":
    case "present-service": {
      const [all, catalog] = await Promise.all([deckies(asked), services(asked)]);
      const present = list(all.find((each) => nameOf(each) === decky) ?? {}, "services").map((each) => text(each, "slug"));
      return catalog.filter((each) => present.includes(text(each, "slug")) === (slot === "present-service")).map(asSlug);
    }
    case "setting":
      return settings(asked);
    case "revision":
      return (await revisions(asked, decky)).map(asRevision);
    case "range": {
      const [newest, ...older] = (await revisions(asked, decky)).map((each) => `r${String(each["number"])}`);
      return older.map((each) => ({ value: `${each}..${newest ?? ""}`, hint: "" }));
    }
    case "operation":
    case "open-operation": {
      const filter = slot === "operation" ? "" : "state!=succeeded,state!=failed,state!=cancelled,state!=superseded";
      const found = await ask("OperationService/ListOperations", { filter, pageSize: 30 });
      return list(found, "operations").map(asOperation);
    }
    case "host":
      return list(await ask("SwarmService/ListHosts", { pageSize: 1_000 }), "hosts").map((each) => ({
        value: text(each, "name"),
        hint: lower(text(each, "state"), "HOST_STATE_"),
      }));
    case "token":
      return list(await ask("AccessService/ListTokens", {}), "tokens")
        .filter((each) => text(each, "revokedAt") === "")
        .map((each) => ({ value: text(each, "id"), hint: text(each, "name") }));
    case "join-token":
      return list(await ask("SwarmService/ListJoinTokens", {}), "tokens")
        .filter((each) => text(each, "usedAt") === "" && text(each, "revokedAt") === "")
        .map((each) => ({ value: text(each, "id"), hint: text(each, "hostName") }));
    case "topology":
      return (await topologies(asked)).map((each) => ({ value: text(each, "name"), hint: topologyHint(each) }));
    case "lan":
    case "topology-decky":
      return members(asked, slot === "lan" ? "lans" : "deckies");
    case "decky-filter":
      return ["name=", "topology=", "state=", "state!=running", "host=", "service=", "archetype=", "distro="].map((value) => ({
        value,
        hint: "",
      }));
  }
}

async function deckies({ ask }: Asked): Promise<Answer[]> {
  return list(await ask("FleetService/ListDeckies", { pageSize: 1_000 }), "deckies");
}

async function topologies({ ask }: Asked): Promise<Answer[]> {
  return list(await ask("TopologyService/ListTopologies", { pageSize: 1_000 }), "topologies");
}

function topologyHint(topology: Answer): string {
  return `${lower(text(topology, "state"), "TOPOLOGY_STATE_")} on ${text(topology, "host")}`;
}

/** First the topology, as `corp/`; then what is in its design, deployed or not. */
async function members(asked: Asked, key: "lans" | "deckies"): Promise<Suggestion[]> {
  const [topology = "", member] = asked.current.split("/");
  if (member === undefined)
    return (await topologies(asked)).map((each) => ({ value: `${text(each, "name")}/`, hint: topologyHint(each) }));
  const found = await asked.ask("TopologyService/GetTopology", { topology });
  return list(isMap(found["topology"]) ? found["topology"] : {}, key).map((each) => ({
    value: `${topology}/${text(each, "name")}`,
    hint: text(each, "subnet") || text(each, "archetype"),
  }));
}

async function services({ ask }: Asked): Promise<Answer[]> {
  return list(await ask("CatalogService/ListServices", {}), "services").filter((each) => each["singleton"] !== true);
}

async function revisions({ ask }: Asked, name: string): Promise<Answer[]> {
  const [first = "", second] = name.split("/");
  const decky = second === undefined ? { name: first } : { topologyId: first, name: second };
  return list(await ask("FleetService/ListRevisions", { decky, pageSize: 50 }), "revisions");
}

/** Keys, and the values of a key that has a choice. */
async function settings(asked: Asked): Promise<Suggestion[]> {
  const { operands, current } = asked;
  const service = (await services(asked)).find((each) => text(each, "slug") === operands[1]);
  const fields = list(service ?? {}, "fields");
  const chosen = fields.find((field) => current.startsWith(`${text(field, "key")}=`));
  if (chosen !== undefined) {
    const values = chosen["enumValues"];
    const given = Array.isArray(values) ? values.map(String) : chosen["type"] === "FIELD_TYPE_BOOL" ? ["true", "false"] : [];
    return given.map((value) => ({ value: `${text(chosen, "key")}=${value}`, hint: "" }));
  }
  return fields.map((field) => ({
    value: `${text(field, "key")}=${field["secret"] === true ? "@" : ""}`,
    hint: text(field, "help") || text(field, "label"),
  }));
}

function asSlug(service: Answer): Suggestion {
  return { value: text(service, "slug"), hint: text(service, "summary") };
}

function asRevision(revision: Answer): Suggestion {
  const at = text(revision, "createdAt").slice(0, 16).replace("T", " ");
  return {
    value: `r${String(revision["number"])}`,
    hint: [at, text(revision, "actor"), text(revision, "reason")].filter(Boolean).join(" "),
  };
}

function asOperation(operation: Answer): Suggestion {
  const kind = lower(text(operation, "kind"), "OPERATION_KIND_");
  const decky = isMap(operation["decky"]) ? text(operation["decky"], "name") : "fleet";
  return { value: text(operation, "id"), hint: `${kind} ${decky} ${lower(text(operation, "state"), "OPERATION_STATE_")}` };
}

function list(document: Answer, key: string): Answer[] {
  const value = document[key];
  return Array.isArray(value) ? value.filter(isMap) : [];
}

function text(document: Answer, key: string): string {
  const value = document[key];
  return typeof value === "string" ? value : "";
}

function nameOf(decky: Answer): string {
  const ref = isMap(decky["ref"]) ? decky["ref"] : {};
  const topology = text(ref, "topology") || text(ref, "topologyId");
  return topology === "" ? text(ref, "name") : `${topology}/${text(ref, "name")}`;
}

function state(decky: Answer): string {
  return lower(text(decky, "state"), "DECKY_STATE_");
}

function lower(value: string, prefix: string): string {
  return value.replace(prefix, "").toLowerCase().replaceAll("_", "-");
}
