import { isDeepStrictEqual } from "node:util";
import type { Attachment, ObservedContainer } from "../observe/observed.ts";
import { type ObservedProcess, observeProcess } from "../observe/process.ts";

/** A container of ours as one inspection told it. `process` is undefined unless it ran and was still there right after. */
export interface Inspected {
  readonly decky: string;
  readonly container: ObservedContainer;
  readonly process: ObservedProcess | undefined;
}

/** What a list call tells of a container. */
export interface Listed {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly attachments: readonly Attachment[];
}

/**
 * Inspections of running containers that are provably still true: the engine lists the container as running under the same name
 * on the same networks, told of no update of it, and its pid is still the same process in the same network namespace. So it was
 * not started again, and everything else about it is fixed when it is created or started. A container in any other state is
 * never kept.
 */
export interface InspectCache {
  find(listed: Listed): Promise<Inspected | undefined>;
  keep(inspected: Inspected): void;
  /** Forgets one container, or all of them. */
  forget(id?: string): void;
  /** Forgets what a list call of an installation, or of one of its deckies, no longer had. */
  retain(listed: readonly Listed[], decky: string | undefined): void;
}

export function createInspectCache(): InspectCache {
  const kept = new Map<string, Inspected>();
  return {
    async find(listed) {
      const found = kept.get(listed.id);
      if (found === undefined) return undefined;
      const { container, process } = found;
      const isListedSo =
        listed.state === "running" &&
        listed.name === container.name &&
        isDeepStrictEqual(listed.attachments, container.attachments);
      const now = isListedSo ? await observeProcess(container.pid) : undefined;
      if (now !== undefined && now.startTime === process?.startTime && now.netns === process.netns) return found;
      kept.delete(listed.id);
      return undefined;
    },
    keep(inspected) {
      if (inspected.container.status === "running" && inspected.process !== undefined)
        kept.set(inspected.container.id, inspected);
    },
    forget(id) {
      if (id === undefined) kept.clear();
      else kept.delete(id);
    },
    retain(listed, decky) {
      const ids = new Set(listed.map(({ id }) => id));
      for (const [id, entry] of kept) if (!ids.has(id) && (decky === undefined || decky === entry.decky)) kept.delete(id);
    },
  };
}
