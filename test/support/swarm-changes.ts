import type { MessageInitShape } from "@bufbuild/protobuf";
import { fromConnectError } from "@decnet/common/rpc/errors";
import type { MovePolicy, PlacementSchema } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import type { MutationOptionsSchema } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { dockerLines } from "./use-master.ts";
import type { Swarm } from "./use-swarm.ts";

/** A placement as tests write it: a host's name, labels, or nothing. */
export type Where = string | "balanced" | Record<string, string> | undefined;

export function placement(where: Where): MessageInitShape<typeof PlacementSchema> | undefined {
  if (where === undefined) return undefined;
  if (where === "balanced") return { where: { case: "balanced", value: true } };
  if (typeof where === "string") return { where: { case: "host", value: where } };
  return { where: { case: "labels", value: { labels: where } } };
}

/** Applies a fleet of redis deckies `<prefix>-<name>`, each at its place. */
export async function applyFleet(
  { master }: Swarm,
  deckies: Readonly<Record<string, Where>>,
  more: {
    readonly movePolicy?: MovePolicy;
    readonly defaultPlacement?: Where;
    readonly options?: MessageInitShape<typeof MutationOptionsSchema>;
  } = {},
) {
  const optional = (name: "placement" | "defaultPlacement", where: Where) => {
    const value = placement(where);
    return value === undefined ? {} : { [name]: value };
  };
  const { operation } = await master.fleet.applyFleet({
    fleet: {
      lan: master.lan,
      ...(more.movePolicy === undefined ? {} : { movePolicy: more.movePolicy }),
      ...optional("defaultPlacement", more.defaultPlacement),
      deckies: Object.entries(deckies).map(([name, where]) => ({
        name: `${master.prefix}-${name}`,
        services: [{ slug: "redis" }],
        ...optional("placement", where),
      })),
    },
    ...(more.options === undefined ? {} : { options: more.options }),
  });
  if (operation === undefined) throw new Error("no operation was answered");
  return operation;
}

/** Containers of a decky and its services over all engines, the master's own too: `<host>/<container>`. */
export async function everywhere({ master, workers }: Swarm, name = ""): Promise<string[]> {
  const args = ["ps", "-a", "--format", "{{.Names}}", "--filter", `name=^/${master.prefix}-${name}`];
  const own = await dockerLines(args);
  const theirs = await Promise.all(
    workers.map(async (worker) => (await worker.host.docker(args)).map((each) => `${worker.name}/${each}`)),
  );
  return [...own.map((each) => `local/${each}`), ...theirs.flat()].map((each) => each.replace(`${master.prefix}-`, "")).sort();
}

/** The reason of a refusal; throws when the call was not refused. */
export async function reasonOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    return fromConnectError(error).reason;
  }
  throw new Error("it was not refused");
}
