import type { ServiceDefinition } from "@decnet/engine/catalog/types";
import { createEngineApi } from "@decnet/engine/docker/engine-api";
import { type ImageContents, type ImageRecipe, serviceImage } from "@decnet/engine/render/images";
import { debianBase } from "@decnet/engine/tables/distros";

/** What the decoys' build base consists of on the engine that the tests share. */
export async function baseContents(): Promise<ImageContents> {
  const api = createEngineApi(process.env["DECNET_DOCKER_SOCKET"] ?? "/var/run/docker.sock");
  const content = await api.imageContent(debianBase);
  return new Map(content === undefined ? [] : [[debianBase, content]]);
}

/** The images of services, built from Debian on the engine that the tests share. */
export async function serviceImages(services: Iterable<ServiceDefinition>): Promise<ImageRecipe[]> {
  const contents = await baseContents();
  return [...services].map((service) => serviceImage(service, debianBase, contents));
}
