import { expect, it } from "vitest";
import { z } from "zod";
import { hostSettings, parseSettings, toHostConfig, unknownSettings } from "./settings.ts";

const schema = z.object(hostSettings);

it("an empty environment is enough", () => {
  expect(toHostConfig(parseSettings(schema, {}), "/own")).toMatchObject({
    dockerSocket: "/var/run/docker.sock",
    composePath: undefined,
    catalogFolders: ["/own"],
    minFreeBytes: 1_073_741_824,
  });
});

it("more folders of decoys come after the own ones", () => {
  expect(toHostConfig(parseSettings(schema, { DECNET_CATALOGUE: "/a::/b" }), "/own").catalogFolders).toEqual([
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

it("a variable that nobody reads is named, one of another program is not", () => {
  const env = { DECNET_PORTT: "1", DECNET_TOKEN: "x", DECNET_AGENT_DIR: "/a", DECNET_PORT: "1", PATH: "/bin", DECNET_: "x" };
  expect(unknownSettings(env)).toEqual(["DECNET_", "DECNET_PORTT"]);
});

it("a number is written as one", () => {
  for (const DECNET_PARALLEL of ["0x2", "2e0", " 2", "2.0", "+2", "1_0"])
    expect(() => parseSettings(schema, { DECNET_PARALLEL })).toThrow(/DECNET_PARALLEL: a whole number from 1 to 64/);
  expect(parseSettings(schema, { DECNET_PARALLEL: "2", DECNET_COMPOSE: "" })).toMatchObject({ DECNET_PARALLEL: 2 });
});
