import type { LeftNetwork, ObservedContainer, ObservedDecky, ObservedHost, ObservedLeavings } from "../observe/observed.ts";
import { differPublications, planClosing } from "../policy/published.ts";
import { deckyKey } from "../spec.ts";
import type { Draft } from "./plan.ts";

/** Stops what runs, and removes it by its id. */
export function removalSteps(container: ObservedContainer, cause: string): Draft[] {
  const common = { target: container.name, service: container.service, container: container.name, id: container.id };
  const stop: Draft = { verb: "stop", ...common, graceSeconds: 2, cause };
  const remove: Draft = { verb: "remove", ...common, cause };
  return ["running", "restarting", "paused"].includes(container.status) ? [stop, remove] : [remove];
}

/** What a base that is made again leaves, and what one left that was made before. */
export function planReleases({ networks }: ObservedLeavings, makesBase: boolean): Draft[] {
  return networks.filter(({ isLeft }) => makesBase || isLeft === true).map(release);
}

function release({ network, owner, isAdopted = false }: LeftNetwork): Draft {
  const cause = isAdopted ? "its rule goes with the last decky on it" : "goes with the last decky on it";
  return { verb: "release-network", target: network, service: "", cause, owner, isAdopted };
}

/** Services before their base, then what the decky had on the host, and its files last. */
export function planRemoval(decky: ObservedDecky, host: ObservedHost): Draft[] {
  const { name, containers } = decky;
  const publications = differPublications([], deckyKey(decky), host.published);
  const services = containers.filter((container) => container.role === "service");
  const bases = containers.filter((container) => container.role === "base");
  const { routes, networks } = host.leaves;
  const isThere = containers.length > 0 || host.project.isThere;
  return [
    ...planClosing(publications, "teardown"),
    ...[...services, ...bases].flatMap((container) => removalSteps(container, "teardown")),
    ...routes.map(({ to, helper }): Draft => ({ verb: "remove-route", target: to, service: "", cause: "teardown", helper })),
    ...networks.map(release),
    ...(isThere ? [{ verb: "remove-project" as const, target: name, service: "", cause: "teardown" }] : []),
  ];
}
