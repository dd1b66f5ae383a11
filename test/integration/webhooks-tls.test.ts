import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebhookState } from "@decnet/contract/gen/decnet/v1/webhook_pb";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KeyAndCertificate, newAuthority, newMaster } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { type KillableMaster, startKillableMaster } from "../support/killable-master.ts";
import { isSignedWith, startWebhookReceiver, type WebhookReceiver } from "../support/webhook-receiver.ts";

const patterns = ["decky.web.service_added", "decky.web.service_removed"];

/** The authority of the first receiver is named to the master; nobody knows those of the others. */
describe("a webhook to a receiver in one's own network, by https", () => {
  let folder: string;
  let master: KillableMaster;
  const receivers: WebhookReceiver[] = [];

  /** Signed by nobody but itself, for a name that is not the receiver's or for the address that it has. */
  const selfSigned = async (names: string): Promise<KeyAndCertificate> => {
    const at = (name: string) => join(folder, name);
    const key = [
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      at("key.pem"),
      "-out",
      at("cert.pem"),
    ];
    await execa("openssl", ["req", "-x509", ...key, "-days", "1", "-subj", "/CN=receiver", "-addext", `subjectAltName=${names}`]);
    return { keyPem: await readFile(at("key.pem"), "utf8"), certPem: await readFile(at("cert.pem"), "utf8") };
  };
  const receive = async (name: string, tls: KeyAndCertificate) => {
    const receiver = await startWebhookReceiver("127.0.0.1", tls);
    receivers.push(receiver);
    const { secret } = await master.clients.webhooks.addWebhook({ name, url: receiver.url, patterns });
    return { ...receiver, secret, received: receiver.received };
  };
  const change = async () => {
    await master.clients.mutations.addService({ decky: { name: "web" }, service: "http" });
    await master.clients.mutations.removeService({ decky: { name: "web" }, service: "http" });
  };

  let known: KeyAndCertificate;
  let otherName: KeyAndCertificate;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "decnet-test-"));
    await chmod(folder, 0o711);
    const authority = await newAuthority();
    known = await newMaster(authority);
    otherName = await selfSigned("DNS:elsewhere.example");
    const roots = join(folder, "roots.pem");
    await writeFile(roots, `${authority.certPem}\n${otherName.certPem}`);
    const env = { NODE_EXTRA_CA_CERTS: roots, DECNET_WEBHOOK_ALLOW: "127.0.0.1", DECNET_DRIFT_INTERVAL_MS: "3600000" };
    master = await startKillableMaster(folder, env);
    const deckies = [{ name: "web", services: [{ slug: "redis" }] }];
    await master.clients.fleet.applyFleet({ fleet: { lan: { name: "lan", subnet: "10.77.0.0/24" }, deckies } });
  });
  afterAll(async () => {
    await master?.stop();
    for (const receiver of receivers) await receiver.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("delivers when the authority of its certificate is named to the master", async () => {
    const { secret, received } = await receive("known", known);
    expect(await master.clients.webhooks.testWebhook({ name: "known" })).toMatchObject({ delivered: true, status: 204 });
    await change();
    await eventually(async () => received.length === 3);
    expect(received.map(({ body }) => body.type)).toEqual(["webhook.test", ...patterns]);
    expect(received.every((each) => isSignedWith(secret, each))).toBe(true);
  });

  it.each<[what: string, tls: () => Promise<KeyAndCertificate>, message: RegExp]>([
    [
      "an authority that nobody named",
      async () => newMaster(await newAuthority()),
      /unable to verify.*NODE_EXTRA_CA_CERTS=FILE$/,
    ],
    ["no authority", async () => selfSigned("IP:127.0.0.1"), /self-signed certificate; name its authority.*NODE_EXTRA_CA_CERTS/],
    ["another name", async () => otherName, /IP: 127.0.0.1 is not in the cert's list/],
  ])("sends nothing to one with a certificate of %s, and says why and what to do", async (what, tls, message) => {
    const name = what.replaceAll(" ", "-");
    const { received } = await receive(name, await tls());
    const tried = await master.clients.webhooks.testWebhook({ name });
    expect(tried).toMatchObject({ delivered: false, status: 0, message: expect.stringMatching(message) });
    expect(tried.message).toMatch(/^its certificate is not accepted: /);
    await change();
    const failing = await eventually(async () => {
      const { webhooks } = await master.clients.webhooks.listWebhooks({});
      return webhooks.find((each) => each.name === name && each.state === WebhookState.FAILING);
    });
    expect(failing.message).toMatch(message);
    expect(received).toEqual([]);
  });
});
