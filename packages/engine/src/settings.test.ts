import { expect, it } from "vitest";
import { z } from "zod";
import { hostSettings, parseSettings, toHostConfig } from "./settings.ts";

const schema = z.object(hostSettings);

it("an empty environment is enough", () => {
  expect(toHostConfig(parseSettings(schema, {}), "/own")).toMatchObject({
    dockerSocket: "/var/run/docker.sock",
    composePath: undefined,
    catalogueFolders: ["/own"],
    minFreeBytes: 1_073_741_824,
  });
});

it("more folders of decoys come after the own ones", () => {
  expect(toHostConfig(parseSettings(schema, { DECNET_CATALOGUE: "/a::/b" }), "/own").catalogueFolders).toEqual([
    "/own",
    "/a",
    "/b",
  ]);
});

it("all problems are said together, each with its variable, and what to do next", () => {
  const read = () => parseSettings(schema, { DECNET_PARALLEL: "0", DECNET_DOCKER_SOCKET: "docker.sock" });
  expect(read).toThrow(/^bad settings: DECNET_DOCKER_SOCKET: .+; DECNET_PARALLEL: .+$/);
  expect(read).toThrow(
    expect.objectContaining({ reason: "SETTINGS_INVALID", next: ["Correct the named variables and start again."] }),
  );
});
