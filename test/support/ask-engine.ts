import { request } from "node:http";
import { text } from "node:stream/consumers";

/** What an engine's API says of a container, as far as tests look at it. */
interface Container {
  readonly Id: string;
  readonly Name: string;
  readonly RestartCount: number;
  readonly State: { readonly Pid: number; readonly StartedAt: string; readonly Status: string };
}

/** The engine that all tests share. */
export const sharedSocket = (): string => process.env["DECNET_DOCKER_SOCKET"] ?? "/var/run/docker.sock";

const patienceMs = 60_000;

/** What it says to a call; rejects while nobody is there. */
function get(socketPath: string, path: string, withinMs: number): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path, signal: AbortSignal.timeout(withinMs), agent: false }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
    })
      .on("error", reject)
      .end();
  });
}

/** Whether an engine serves calls. */
export function isServing(socketPath: string, withinMs = 5_000): Promise<boolean> {
  return get(socketPath, "/_ping", withinMs).then(
    ({ status }) => status === 200,
    () => false,
  );
}

/**
 * Asks an engine itself: a `docker` command takes ten times as much processor time, and tests ask again and again. Undefined for
 * what is not there.
 */
async function ask<Answer>(socketPath: string, path: string): Promise<Answer | undefined> {
  const { status, body } = await get(socketPath, path, patienceMs);
  if (status === 404) return undefined;
  if (status !== 200) throw new Error(`the engine returned ${status} for ${path}: ${body}`);
  return JSON.parse(body) as Answer;
}

const query = (filters: Readonly<Record<string, readonly string[]>>) => `filters=${encodeURIComponent(JSON.stringify(filters))}`;

/** Ids of the containers whose name starts so. */
export async function idsOf(prefix: string, socketPath = sharedSocket()): Promise<string[]> {
  const filters = query(prefix === "" ? {} : { name: [`^/${prefix}`] });
  const found = (await ask<{ Id: string }[]>(socketPath, `/containers/json?all=1&${filters}`)) ?? [];
  return found.map(({ Id: id }) => id);
}

/** Id, start time and restart count of each container whose name starts so, by name. */
export async function containersOf(prefix: string, socketPath = sharedSocket()): Promise<Map<string, string>> {
  const ids = await idsOf(prefix, socketPath);
  const found = await Promise.all(ids.map((id) => ask<Container>(socketPath, `/containers/${id}/json`)));
  return new Map(
    found
      .filter((each) => each !== undefined)
      .map(({ Id, Name, RestartCount, State }) => [Name.slice(1), `${Id} ${State.StartedAt} ${RestartCount} ${State.Status}`]),
  );
}

/** The first process of a container, 0 when it does not run. */
export async function pidOf(name: string, socketPath = sharedSocket()): Promise<number> {
  const found = await ask<Container>(socketPath, `/containers/${name}/json`);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found.State.Pid;
}

/** All that it says of a container, as `docker inspect` prints it. */
export async function inspectionOf<Inspection>(name: string, socketPath = sharedSocket()): Promise<Inspection> {
  const found = await ask<Inspection>(socketPath, `/containers/${name}/json`);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
}

/** Names of the volumes whose name holds this. */
export async function volumesOf(part: string): Promise<string[]> {
  const found = await ask<{ Volumes: { Name: string }[] | null }>(sharedSocket(), `/volumes?${query({ name: [part] })}`);
  return (found?.Volumes ?? []).map(({ Name: name }) => name);
}

/** The subnets of all networks. */
export async function subnetsOfEngine(): Promise<string[]> {
  const found = (await ask<{ IPAM: { Config: { Subnet?: string }[] | null } }[]>(sharedSocket(), "/networks")) ?? [];
  return found.flatMap(({ IPAM: { Config: config } }) => (config ?? []).map(({ Subnet: subnet }) => subnet ?? ""));
}
