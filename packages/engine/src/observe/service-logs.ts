import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@decnet/common/errors/app-error";
import type { EngineApi } from "../docker/engine-api.ts";
import type { LogRange } from "../docker/log-calls.ts";
import { type LogEntry, streamContainerLogs } from "./logs.ts";

export interface LogOptions {
  readonly tail: number;
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

const lookAgainMs = 500;

/**
 * Lines of a service, whichever container it has. Following goes on when the container is started again or another one takes its
 * place, until it is aborted; each line comes once.
 */
export async function* streamServiceLogs(
  api: EngineApi,
  name: string,
  slug: string,
  { tail, follow, signal }: LogOptions,
): AsyncGenerator<LogEntry> {
  let place: Place | undefined;
  while (!signal.aborted) {
    const id = await findContainer(api, name, follow);
    if (id !== undefined) {
      if (place !== undefined && place.id !== id) yield changeOf(slug, place.id, id);
      const isSame = place?.id === id;
      const from: Place = place !== undefined && isSame ? place : { id, at: "", count: 0 };
      const range = rangeOf(place, from, tail);
      place = from;
      try {
        for await (const entry of streamContainerLogs(api, id, { slug, range, follow, signal }))
          if (isNew(from, entry)) yield entry;
      } catch (error) {
        if (!follow || !isPassing(error)) throw error;
      }
    }
    if (!follow) return;
    await delay(lookAgainMs, undefined, { signal }).catch(() => undefined);
  }
}

/** The last line of a container that was passed on: its time, and how many have that same time. */
interface Place {
  readonly id: string;
  at: string;
  count: number;
  /** How many lines of that time were met again. */
  met?: number;
}

/** Everything of a container that came while we looked; of the first, what was asked for. */
function rangeOf(place: Place | undefined, from: Place, tail: number): LogRange {
  if (place === undefined) return { tail };
  from.met = 0;
  return { since: from.at === "" ? 0 : Math.floor(Date.parse(from.at) / 1_000) };
}

/** Whether the line is new; the engine reads whole seconds again. */
function isNew(place: Place, { at, dropped }: LogEntry): boolean {
  if (dropped !== undefined) {
    Object.assign(place, { at, count: 0, met: 0 } satisfies Partial<Place>);
    return true;
  }
  if (at < place.at) return false;
  if (at === place.at) {
    const met = (place.met ?? place.count) + 1;
    place.met = met;
    if (met <= place.count) return false;
    place.count = met;
    return true;
  }
  place.at = at;
  place.count = 1;
  place.met = 1;
  return true;
}

/** The container is just being removed, or the engine is away: another look will tell. */
function isPassing(error: unknown): boolean {
  if (error instanceof AppError) return error.reason === "ENGINE_UNAVAILABLE";
  return error instanceof Error && "statusCode" in error && (error.statusCode === 404 || error.statusCode === 409);
}

/** Undefined when there is none; one that follows waits for an engine that is away. */
async function findContainer(api: EngineApi, name: string, follow: boolean): Promise<string | undefined> {
  try {
    return (await api.inspect(name))?.id;
  } catch (error) {
    if (follow && isPassing(error)) return undefined;
    throw error;
  }
}

function changeOf(slug: string, from: string, to: string): LogEntry {
  const text = `container ${from.slice(0, 12)} was replaced by ${to.slice(0, 12)}`;
  return { service: slug, stream: "stdout", at: new Date().toISOString(), text, container: to, containerChanged: true };
}
