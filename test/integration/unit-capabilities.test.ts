import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationState } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { afterAll, beforeAll, expect, it } from "vitest";
import { testCatalog } from "../support/catalogs.ts";
import { ownProgram } from "../support/programs.ts";
import { eventually, type Place, usePlace } from "../support/use-master.ts";

const unit = () => readFile(join(import.meta.dirname, "../../deploy/decnet-master.service"), "utf8");

/** The master's own program, with the powers that its systemd unit leaves it, and no way to more. */
let place: Place;
let child: ChildProcess;
let log = "";

beforeAll(async () => {
  place = await usePlace();
  const [, list = ""] = /^CapabilityBoundingSet=(.+)$/m.exec(await unit()) ?? [];
  const powers = list
    .split(" ")
    .map((name) => `+${name.replace("CAP_", "").toLowerCase()}`)
    .join(",");
  child = spawn(
    "setpriv",
    [`--bounding-set=-all,${powers}`, `--inh-caps=-all,${powers}`, "--no-new-privs", process.execPath, ...ownProgram("master")],
    {
      env: { ...process.env, DECNET_DATA_DIR: place.dataDir, DECNET_PORT: "0", DECNET_CATALOGUE: testCatalog },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text: string) => (log += text));
});
afterAll(async () => {
  if (child.exitCode === null) {
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  }
  await place.dispose();
});

it("the capabilities of the master's unit are enough for its database, for deckies and for their policy", async () => {
  const port = await eventually(async () => {
    expect(child.exitCode, log).toBeNull();
    return /"port":(\d+).*"master started"/.exec(log)?.[1];
  }, 60_000);
  const status = await readFile(`/proc/${child.pid}/status`, "utf8");
  expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  // Without CAP_SYS_MODULE (16) and CAP_SYS_RAWIO (17).
  const bounding = BigInt(`0x${/^CapBnd:\t(\w+)$/m.exec(status)?.[1] ?? ""}`);
  expect(bounding & ((1n << 16n) | (1n << 17n))).toBe(0n);
  const token = (await readFile(join(place.dataDir, "admin.token"), "utf8")).trim();
  const client = createClientTransport({ address: `http://127.0.0.1:${port}`, token });
  try {
    const name = `${place.prefix}-a`;
    await createClient(FleetService, client.transport).applyFleet({
      fleet: { lan: place.lan, deckies: [{ name, services: [{ slug: "redis" }] }] },
    });
    const mutations = createClient(MutationService, client.transport);
    const { operation } = await mutations.addService({ decky: { name }, service: "http" });
    expect(operation?.state).toBe(OperationState.SUCCEEDED);
    expect(operation?.receipt?.containers.length).toBeGreaterThan(0);
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([200, expect.stringContaining('"containment":"ok"')]);
  } finally {
    client.close();
  }
});
