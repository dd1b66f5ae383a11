import { expect, it } from "vitest";
import { pinsMac } from "../support/conformance.ts";
import { deploy, dockerLines, useMaster } from "../support/use-master.ts";

it("the status of a decky shows the MAC address that it has, or says mac_not_pinned", async () => {
  const master = await useMaster();
  try {
    await deploy(master, { a: ["redis"] });
    const name = `${master.prefix}-a`;
    const { decky } = await master.fleet.getDecky({ decky: { name } });
    const format = "{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}";
    const real = await dockerLines(["inspect", "--format", format, name]);
    const canPin = await pinsMac();
    expect(decky?.warnings).toEqual(canPin ? [] : ["mac_not_pinned"]);
    expect(decky?.addresses.map((address) => address.mac)).toEqual(canPin ? real : [""]);
  } finally {
    await master.dispose();
  }
});
