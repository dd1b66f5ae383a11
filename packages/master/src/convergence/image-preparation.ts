import type { Logger } from "@decnet/common/logging/logger";
import type { PresentTarget } from "@decnet/engine/wire/decky-spec";
import { withEachImage } from "../decide/with-each-image.ts";
import type { HostRegistry } from "../links/host-registry.ts";
import type { Board } from "./board.ts";

/** What is to be on a host. */
export interface HostedTarget {
  readonly host: string;
  readonly target: PresentTarget;
}

/**
 * Gets the images of an operation about many deckies onto their hosts before its parts need them: once for each host that can
 * be reached, in the background, until the operation has ended. Nothing waits for it, and what fails is said by the parts,
 * which get what is still missing.
 */
export interface ImagePreparation {
  begin(operationId: string, targets: readonly HostedTarget[]): void;
  /** Resolves when nothing is under way any more. */
  idle(): Promise<void>;
}

export interface ImagePreparationOptions {
  readonly hosts: Pick<HostRegistry, "isReachable" | "link">;
  readonly board: Pick<Board, "hearEnd">;
  readonly log: Logger;
  readonly stopping: AbortSignal;
}

export function createImagePreparation({ hosts, board, log, stopping }: ImagePreparationOptions): ImagePreparation {
  const running = new Set<Promise<void>>();

  const prepare = async (host: string, targets: readonly PresentTarget[], signal: AbortSignal): Promise<void> => {
    try {
      const images = await hosts.link(host).prepareImages(targets, signal);
      for (const { tag, problem } of images) if (problem !== "") log.debug("an image was not prepared", { host, tag, problem });
    } catch (error) {
      if (!signal.aborted) log.debug("images were not prepared", { host, err: error });
    }
  };

  const prepareAll = async (operationId: string, byHost: ReadonlyMap<string, readonly PresentTarget[]>): Promise<void> => {
    const over = new AbortController();
    const signal = AbortSignal.any([stopping, over.signal]);
    const ended = board.hearEnd(operationId, signal).then(() => over.abort());
    await Promise.all([...byHost].map(([host, targets]) => prepare(host, withEachImage(targets), signal)));
    over.abort();
    await ended;
  };

  return {
    begin(operationId, targets) {
      const reachable = targets.filter(({ host }) => hosts.isReachable(host));
      if (reachable.length === 0) return;
      const work = prepareAll(operationId, targetsByHost(reachable)).finally(() => running.delete(work));
      running.add(work);
    },
    idle: async () => void (await Promise.all(running)),
  };
}

function targetsByHost(targets: readonly HostedTarget[]): Map<string, PresentTarget[]> {
  const byHost = new Map<string, PresentTarget[]>();
  for (const { host, target } of targets) {
    const others = byHost.get(host);
    if (others === undefined) byHost.set(host, [target]);
    else others.push(target);
  }
  return byHost;
}
