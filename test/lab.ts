import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { debianBase } from "@decnet/engine/tables/distros";
import { execa } from "execa";
import { ownCatalog } from "./support/catalogs.ts";
import { answers } from "./support/lab/engine.ts";
import type { LabPlan } from "./support/lab/plan.ts";
import { registeredLabs, registerLab } from "./support/lab/register.ts";
import { removeLab } from "./support/lab/remove.ts";
import { joinWorkers, leaveWorkers, MasterMissing } from "./support/lab/workers.ts";
import { bringUp } from "./support/lab.ts";
import { serviceImages } from "./support/service-images.ts";

/** A lab by hand, one for each checkout: npm run lab -- up [N] | down. See docs/lab.md. */
const usage =
  "usage: npm run lab -- up [HOSTS]    hosts with engines (3), which stay, as workers of the master that runs here\n" +
  "       npm run lab -- down          takes them out of the master and removes every trace";
const master = { tlsPort: Number(process.env["DECNET_TLS_PORT"] ?? 7443) };
const checkout = fileURLToPath(new URL("..", import.meta.url));

function say(text: string): void {
  process.stderr.write(`lab: ${text}\n`);
}

async function ownLab(): Promise<LabPlan | undefined> {
  return (await registeredLabs()).find(({ keeper }) => "checkout" in keeper && keeper.checkout === checkout)?.plan;
}

/** The decoys' images that the machine's own engine has. */
async function presentImages(): Promise<string[]> {
  const { services } = await loadCatalog([ownCatalog]);
  const decoys = [...services.values()].filter((service) => !service.singleton);
  const present: string[] = [];
  for (const image of [debianBase, ...(await serviceImages(decoys)).map((each) => each.tag)]) {
    const { exitCode } = await execa("docker", ["image", "inspect", image], { reject: false });
    if (exitCode === 0) present.push(image);
  }
  return present;
}

async function up(wanted: number | undefined): Promise<void> {
  const old = await ownLab();
  if (old !== undefined) {
    const alive = (await Promise.all(old.hosts.map((host) => answers(host)))).every((one) => one);
    if (alive && old.hosts.length === (wanted ?? old.hosts.length)) return join(old);
    if (alive) throw new Error(`a lab with ${old.hosts.length} hosts is up; first: npm run lab -- down`);
    say(`removing what is left of ${old.name}`);
    await removeLab(old);
  }
  const images = await presentImages();
  if (images.length === 0) say("this machine's engine has no images of decoys; `npm run up` builds them");
  const plan = await registerLab(`lab${randomBytes(2).toString("hex")}`, wanted ?? 3, { checkout });
  say(`starting ${plan.hosts.length} engines`);
  await bringUp(plan, images);
  await join(plan);
}

/** Hosts without a master are of use, too. */
async function join(plan: LabPlan): Promise<void> {
  say("joining the master");
  describe(plan);
  try {
    await joinWorkers(plan, master);
    process.stdout.write("All are workers of the master that runs here: ./decnet host list\n");
  } catch (error) {
    if (!(error instanceof MasterMissing)) throw error;
    process.stdout.write(`They are no workers yet, no master answers (${error.message}). Then: npm run up; npm run lab -- up\n`);
  }
}

async function down(): Promise<void> {
  const own = await ownLab();
  const abandoned = (await registeredLabs()).filter((lab) => lab.abandoned).map((lab) => lab.plan);
  const plans = abandoned.some((plan) => plan.name === own?.name) || own === undefined ? abandoned : [own, ...abandoned];
  if (plans.length === 0) say("no lab is up");
  for (const plan of plans) {
    // Workers of a test's lab had a master of their own.
    for (const name of plan.name === own?.name ? await leaveWorkers(plan, master) : [])
      say(`the master does not answer and still knows ${name}; later: ./decnet host decommission ${name} --force`);
    await removeLab(plan);
    say(`${plan.name} is gone`);
  }
}

function describe(plan: LabPlan): void {
  const { switchName } = plan;
  const hosts = plan.hosts.map(({ name, address, socket }) =>
    [
      `${name}  ${address}`,
      `  nsenter --net=/run/netns/${name} env DOCKER_HOST=unix://${socket} COMMAND`,
      `  docker -H unix://${socket} ps`,
    ].join("\n"),
  );
  const [{ name } = { name: "" }] = plan.hosts;
  process.stdout.write(`${hosts.join("\n")}

A master can listen on ${plan.masterAddress}. No host has a way out of ${plan.subnet}.
Cut a host off:  ip -n ${switchName} link set dev ${name} nomaster
Heal it:         ip -n ${switchName} link set dev ${name} master switch
Remove all:      npm run lab -- down
`);
}

const [verb, count, ...rest] = process.argv.slice(2);
try {
  if (process.getuid?.() !== 0) throw new Error("this needs root: it makes network namespaces and starts engines");
  if (verb === "up" && rest.length === 0) await up(count === undefined ? undefined : Number(count));
  else if (verb === "down" && process.argv.length === 3) await down();
  else throw new Error(usage);
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
