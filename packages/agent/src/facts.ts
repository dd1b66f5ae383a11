import { statfs } from "node:fs/promises";
import { cpus, hostname, networkInterfaces, totalmem } from "node:os";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { AppError } from "@decnet/common/errors/app-error";
import { protocolVersion } from "@decnet/common/protocol-version";
import { type AgentFacts, AgentFactsSchema } from "@decnet/contract/gen/decnet/v1/enrollment_pb";
import { createComposeCli, dockerConfigOf } from "@decnet/engine/docker/compose";
import { createEngineApi } from "@decnet/engine/docker/engine-api";
import { userMappingOf } from "@decnet/engine/observe/user-mapping";

/** What this worker is made of, read now. An engine or compose that cannot be used is a fact too, never an exception. */
export async function readFacts(options: {
  readonly version: string;
  readonly catalogueDigest: string;
  readonly dockerSocket: string;
  readonly composePath: string | undefined;
  readonly stateDir: string;
}): Promise<AgentFacts> {
  const engine = await readEngine(options);
  const disk = await statfs(options.stateDir).catch(() => undefined);
  return create(AgentFactsSchema, {
    agentVersion: options.version,
    protocolVersion,
    catalogueDigest: options.catalogueDigest,
    engineVersion: engine.engine,
    composeVersion: engine.compose,
    engineProblem: engine.problem,
    interfaces: Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
      addresses === undefined || addresses.every((address) => address.internal)
        ? []
        : [{ name, addresses: addresses.map((address) => address.cidr ?? address.address) }],
    ),
    capacity: {
      cpus: cpus().length,
      memoryBytes: BigInt(totalmem()),
      diskBytes: BigInt((disk?.blocks ?? 0) * (disk?.bsize ?? 0)),
      diskFreeBytes: BigInt((disk?.bavail ?? 0) * (disk?.bsize ?? 0)),
    },
    clock: timestampFromDate(new Date()),
    warnings: engine.major > 0 && engine.major < 25 ? ["mac_not_pinned"] : [],
    machineName: hostname(),
  });
}

async function readEngine({
  dockerSocket: socket,
  composePath: pluginPath,
  stateDir,
}: {
  readonly dockerSocket: string;
  readonly composePath: string | undefined;
  readonly stateDir: string;
}): Promise<{ engine: string; compose: string; major: number; problem: string }> {
  let engine = "";
  let major = 0;
  try {
    const api = createEngineApi(socket);
    ({ version: engine, major } = await api.version());
    userMappingOf(await api.security());
  } catch (error) {
    if (error instanceof AppError && error.reason === "ENGINE_UNUSABLE")
      return { engine, compose: "", major, problem: error.message };
    return { engine, compose: "", major, problem: `no Docker engine answers on ${socket}: ${messageOf(error)}` };
  }
  try {
    const compose = await createComposeCli(socket, { configFolder: dockerConfigOf(stateDir), pluginPath }).version(
      AbortSignal.timeout(10_000),
    );
    const composeMajor = Number.parseInt(compose.replace(/^v/, ""), 10);
    const problem = composeMajor >= 2 ? "" : `docker compose 2 or newer is needed, this is ${JSON.stringify(compose)}`;
    return { engine, compose, major, problem };
  } catch (error) {
    return { engine, compose: "", major, problem: `docker compose cannot be run: ${messageOf(error)}` };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
