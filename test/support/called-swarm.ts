import type { CertificateAuthority } from "@decnet/common/pki/certificates";
import { newAuthority } from "./certificates.ts";
import { type CallerIdentity, type Callers, createCallers, identityOf } from "./swarm-callers.ts";
import { type Swarm, useSwarm, type Worker } from "./use-swarm.ts";

/** Two workers whose agents nobody touches, a decky on the first, and whoever else calls. */
export interface CalledSwarm {
  readonly swarm: Swarm;
  readonly callers: Callers;
  /** Of nobody here. */
  readonly foreign: CertificateAuthority;
  readonly decky: { readonly name: string };
  readonly edge1: CallerIdentity;
  readonly edge2: CallerIdentity;
  worker(index: number): Worker;
  dispose(): Promise<void>;
}

export async function useCalledSwarm(): Promise<CalledSwarm> {
  const swarm = await useSwarm({ hosts: 2, slugs: ["redis"] });
  const { master } = swarm;
  const callers = await createCallers(swarm);
  const worker = (index: number): Worker => {
    const found = swarm.workers[index];
    if (found === undefined) throw new Error(`no worker ${index}`);
    return found;
  };
  const dispose = async () => {
    await callers.dispose();
    await swarm.dispose();
  };
  try {
    const decky = { name: `${master.prefix}-a` };
    await master.fleet.applyFleet({
      fleet: {
        lan: master.lan,
        deckies: [{ name: decky.name, services: [{ slug: "redis" }], placement: { where: { case: "host", value: "edge-1" } } }],
      },
    });
    const [edge1, edge2] = [await identityOf(worker(0).host), await identityOf(worker(1).host)];
    return { swarm, callers, foreign: await newAuthority(), decky, edge1, edge2, worker, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
