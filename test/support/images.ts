import { randomBytes } from "node:crypto";
import { loadCatalogue } from "@decnet/engine/catalogue/load";
import { serviceImage } from "@decnet/engine/render/images";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { ownCatalogue } from "./catalogues.ts";

const run = randomBytes(2).toString("hex");

/** Names this run, and builds the catalogue's images once, so that no test pays for another one's build. */
export async function setup(): Promise<void> {
  process.env["DECNET_TEST_RUN"] = run;
  const catalogue = await loadCatalogue([ownCatalogue]);
  for (const service of catalogue.services.values()) {
    if (service.singleton) continue;
    const image = serviceImage(service, debianBase);
    const present = await execa("docker", ["image", "inspect", image.tag], { reject: false });
    if (present.exitCode !== 0)
      await execa("docker", ["build", "--build-arg", `BASE_IMAGE=${image.buildBase}`, "-t", image.tag, image.context]);
  }
}

/** No test may leave a container behind. */
export async function teardown(): Promise<void> {
  const { stdout } = await execa("docker", ["ps", "-a", "--filter", `name=^/t${run}`, "--format", "{{.Names}}"]);
  if (stdout !== "") throw new Error(`tests left containers behind:\n${stdout}`);
}
