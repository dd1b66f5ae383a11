import { createAuthority, openAuthority } from "@decnet/common/pki/certificates";
import { expect, it } from "vitest";
import { createElsewhere } from "./elsewhere.ts";
import type { HeldElsewhere } from "./host-registry.ts";
import { createPeerTransports } from "./peer-transports.ts";

it("a host of a master that does not listen for others is there: what is asked of it fails, what is known is said", async () => {
  const installation = "00000000-0000-4000-8000-000000000001";
  const files = await createAuthority({ installation, now: new Date(), years: 1 });
  const transports = await createPeerTransports(await openAuthority({ ...files, installation }), installation);
  const holder: HeldElsewhere = { master: "m2", place: "process 7 on m2", addresses: [], address: "", since: new Date() };
  const elsewhere = createElsewhere({
    peers: { holder: () => holder, others: [], hostNames: ["m1", "m2"] },
    transports,
    leases: { holder: async () => undefined },
    instance: "one",
  });
  const link = elsewhere.link("m2", holder);
  expect(link.warnings).toEqual([]);
  await expect(link.plan({ kind: "absent", scope: "fleet", name: "web" })).rejects.toMatchObject({
    reason: "HOST_UNREACHABLE",
    message: expect.stringMatching(
      /^host m2 does not answer through master m2 \(process 7 on m2\): it does not listen for other/,
    ),
  });
  transports.close();
});
