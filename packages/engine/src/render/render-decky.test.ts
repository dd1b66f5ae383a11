import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { loadCatalog } from "../catalog/load.ts";
import type { Catalog } from "../catalog/types.ts";
import type { DeckySpec, LanSpec, ServiceSpec } from "../spec.ts";
import { label } from "./names.ts";
import { type RenderContext, type RenderedDecky, renderDecky } from "./render-decky.ts";

interface ComposeService {
  readonly network_mode?: string;
  readonly networks?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly { readonly type: string; readonly source: string; readonly target: string }[];
  readonly labels: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
}
interface ComposeFile {
  readonly name: string;
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly networks: unknown;
  readonly volumes?: Readonly<Record<string, { readonly name: string }>>;
}

const lan: LanSpec = { name: "decoys", driver: "bridge", subnet: "10.9.8.0/24", gateway: "10.9.8.1", parent: undefined };
const on = (at: LanSpec, ip = "10.9.8.7", mac = "00:50:56:00:00:01"): Pick<DeckySpec, "attachments"> => ({
  attachments: [{ lan: at, ip, mac }],
});
const spec = (services: readonly ServiceSpec[], more: Partial<DeckySpec> = {}): DeckySpec => ({
  scope: "fleet",
  name: "web-01",
  revision: 3,
  hostname: "SRV-WEB-10",
  baseImage: "decnet/base-debian:bookworm",
  buildBase: "decnet/base-debian:bookworm",
  osFamily: "windows",
  ...on(lan),
  forwards: false,
  services,
  ...more,
});
const redis: ServiceSpec = { slug: "redis", config: { maxmemory_mb: 32 } };
const ssh: ServiceSpec = { slug: "ssh", config: { password: "pa$$word" } };

describe("a rendered decky", () => {
  let catalog: Catalog;

  beforeAll(async () => {
    catalog = await loadCatalog([fileURLToPath(new URL("../../../../catalog", import.meta.url))]);
  });

  const render = (of: DeckySpec, more: Partial<RenderContext> = {}): RenderedDecky =>
    renderDecky(of, {
      catalog,
      instance: "i1",
      projectDir: "/data/deckies/web-01",
      // Readable, so that tests see what goes into it.
      fingerprint: (text) => Buffer.from(text).toString("hex"),
      pinMac: true,
      limits: {},
      contents: new Map(),
      ...more,
    });
  const composeOf = ({ files }: RenderedDecky): ComposeFile =>
    JSON.parse(files.find((file) => file.path === "compose.yaml")?.content ?? "") as ComposeFile;
  const base = (rendered: RenderedDecky) => composeOf(rendered).services["web-01"]!;

  it("is the same bytes for the same spec", () => {
    expect(render(spec([redis, ssh])).files).toEqual(render(spec([redis, ssh])).files);
  });

  it("is one project, with a base and one container for each service, which joins the base by its container's name", () => {
    const { name, services, networks } = composeOf(render(spec([redis, ssh])));
    expect([name, networks]).toEqual(["decnet-web-01", { lan: { external: true, name: "decoys" } }]);
    expect(Object.entries(services).map(([key, service]) => [key, service["container_name"], service.network_mode])).toEqual([
      ["web-01", "web-01", undefined],
      ["web-01-redis", "web-01-redis", "container:web-01"],
      ["web-01-ssh", "web-01-ssh", "container:web-01"],
    ]);
    expect(Object.values(services).filter((service) => "depends_on" in service)).toEqual([]);
  });

  it("of a topology has names that no decky of the fleet has", () => {
    const { project, base: own, services } = render(spec([redis], { scope: "0123456789ab" }));
    expect([project, own.name, services[0]?.name]).toEqual([
      "decnet-0123456789ab-web-01",
      "0123456789ab-web-01",
      "0123456789ab-web-01-redis",
    ]);
  });

  it("confines every container, and gives a service what its catalog entry lists and no more", () => {
    const { services } = composeOf(render(spec([redis, ssh])));
    for (const service of Object.values(services))
      expect(service).toMatchObject({
        init: true,
        restart: "always",
        cap_drop: ["ALL"],
        security_opt: ["no-new-privileges:true"],
        pull_policy: "never",
      });
    expect(services["web-01-redis"]).toMatchObject({ cap_add: [...catalog.services.get("redis")!.capabilities] });
    expect(services["web-01"]).not.toHaveProperty("cap_add");
  });

  it.each<readonly [string, boolean, Readonly<Record<string, string>>]>([
    ["pinned", true, { ipv4_address: "10.9.8.7", mac_address: "00:50:56:00:00:01" }],
    ["left out where the engine cannot pin it", false, { ipv4_address: "10.9.8.7" }],
  ])("has its address on the LAN, and its MAC address is %s", (_, pinMac, network) => {
    expect(base(render(spec([redis]), { pinMac })).networks).toEqual({ lan: network });
  });

  it.each(["bridge", "macvlan", "ipvlan"] as const)(
    "on a %s LAN joins a network that is made elsewhere, by name alone",
    (driver) => {
      const parent = driver === "bridge" ? undefined : "eth0";
      const rendered = render(spec([redis], on({ ...lan, driver, parent })));
      expect(composeOf(rendered).networks).toEqual({ lan: { external: true, name: "decoys" } });
      expect(rendered.files).toEqual(render(spec([redis])).files);
    },
  );

  it("has the network stack of its OS family", () => {
    const ttl = (osFamily: string) => base(render(spec([], { osFamily })))["sysctls"];
    expect(ttl("windows")).toMatchObject({ "net.ipv4.ip_default_ttl": "128" });
    expect(ttl("linux")).toMatchObject({ "net.ipv4.ip_default_ttl": "64" });
  });

  it("gives settings as environment, with dollars that compose leaves alone", () => {
    const { environment } = composeOf(render(spec([{ slug: "ftp", config: { banner: "$HOME" } }]))).services["web-01-ftp"]!;
    expect(environment).toMatchObject({ NODE_NAME: "web-01", HOSTNAME: "SRV-WEB-10", FTP_BANNER: "$$HOME" });
  });

  describe("with a secret", () => {
    const secretOf = (config: ServiceSpec["config"]) =>
      render(spec([{ slug: "ssh", config }])).files.filter(({ path }) => path.startsWith("secrets/"));

    it("has it in a file that only the service's user reads, as it was given", () => {
      const file = secretOf(ssh.config).find(({ path }) => path.endsWith("/password"));
      expect(file).toMatchObject({ content: "pa$$word", mode: 0o400, owner: catalog.services.get("ssh")!.user });
      expect(file?.path).toMatch(/^secrets\/ssh-[^/]+\/password$/);
    });

    it("mounts the folder of exactly that content, read-only", () => {
      const { volumes } = composeOf(render(spec([ssh]))).services["web-01-ssh"]!;
      const folder = dirname(secretOf(ssh.config)[0]!.path);
      const bind = { type: "bind", source: `/data/deckies/web-01/${folder}`, target: "/run/decnet/secrets", read_only: true };
      expect(volumes).toContainEqual({ ...bind, bind: { create_host_path: false } });
    });

    it("has it nowhere in the compose file", () => {
      const fingerprint = (text: string) => String(text.length);
      const text = render(spec([ssh]), { fingerprint }).files.find((file) => file.path === "compose.yaml")?.content;
      expect(text).not.toContain("pa$");
    });
  });

  it("has the files of a machine on its LAN in place of the engine's, in each container", () => {
    const rendered = render(spec([redis, ssh]));
    const contentOf = (name: string) => rendered.files.find(({ path }) => path === `machine/${name}`)?.content;
    expect(contentOf("resolv.conf")).toBe("nameserver 10.9.8.1\n");
    expect(contentOf("hosts")).toContain("127.0.0.1\tlocalhost\n127.0.1.1\tSRV-WEB-10\n");
    for (const { volumes } of Object.values(composeOf(rendered).services))
      for (const name of ["resolv.conf", "hosts"])
        expect(volumes).toContainEqual({
          type: "bind",
          source: `/data/deckies/web-01/machine/${name}`,
          target: `/etc/${name}`,
          read_only: true,
          bind: { create_host_path: false },
        });
  });

  it("leaves nothing to what an engine is configured to fill in", () => {
    const { services } = composeOf(render(spec([redis, ssh])));
    for (const service of Object.values(services)) {
      expect(service).toMatchObject({ ipc: "private", cgroup: "private", shm_size: "64m", logging: { driver: "json-file" } });
      expect(service["ulimits"]).toMatchObject({
        nofile: { soft: 1_024, hard: 524_288 },
        nproc: { soft: -1, hard: -1 },
        core: { soft: 0, hard: 0 },
      });
    }
    const { services: bounded } = composeOf(render(spec([]), { limits: { nofile: 20_000, nproc: 96_365 } }));
    expect(bounded["web-01"]?.["ulimits"]).toMatchObject({
      nofile: { soft: 1_024, hard: 20_000 },
      nproc: { soft: 96_365, hard: 96_365 },
    });
    expect(services["web-01"]).toMatchObject({ dns: ["10.9.8.1"], dns_search: ["."], dns_opt: ["ndots:0"] });
  });

  it("keeps a service's volumes under names that outlive the container", () => {
    const { services, volumes } = composeOf(render(spec([ssh])));
    const mounted = services["web-01-ssh"]!.volumes!.filter((volume) => volume.type === "volume");
    expect(mounted.length).toBeGreaterThan(0);
    for (const { source } of mounted) expect(volumes?.[source]?.name).toMatch(/^decnet_web-01_ssh_/);
  });

  it("labels each container with whose it is", () => {
    const { labels } = composeOf(render(spec([redis]))).services["web-01-redis"]!;
    expect(labels).toMatchObject({
      [label.instance]: "i1",
      [label.decky]: "fleet/web-01",
      [label.role]: "service",
      [label.service]: "redis",
    });
  });

  describe("has a hash of each container", () => {
    const hashes = (of: DeckySpec) => {
      const { base: own, services } = render(of, { fingerprint: (text) => text });
      return Object.fromEntries([["base", own.hash], ...services.map(({ service: slug, hash }) => [slug, hash])]) as Record<
        string,
        string
      >;
    };
    const before = () => hashes(spec([redis, ssh]));

    it.each<readonly [string, DeckySpec, readonly string[]]>([
      ["a setting", spec([{ slug: "redis", config: { maxmemory_mb: 64 } }, ssh]), ["redis"]],
      ["a secret", spec([redis, { slug: "ssh", config: { password: "other" } }]), ["ssh"]],
      ["the hostname, which all see", spec([redis, ssh], { hostname: "other" }), ["base", "redis", "ssh"]],
      ["the address", spec([redis, ssh], on(lan, "10.9.8.8")), ["base"]],
      ["the MAC address", spec([redis, ssh], on(lan, "10.9.8.7", "00:50:56:00:00:02")), ["base"]],
      ["the OS family", spec([redis, ssh], { osFamily: "linux" }), ["base"]],
      ["the revision alone", spec([redis, ssh], { revision: 4 }), []],
      ["the order of services", spec([ssh, redis]), []],
      ["the build base, which no operator chose", spec([redis, ssh], { buildBase: "ubuntu@sha256:01" }), []],
    ])("that changes with %s", (_, of, changed) => {
      const [was, is] = [before(), hashes(of)];
      expect(Object.keys(was).filter((key) => was[key] !== is[key])).toEqual(changed);
    });

    it.each(["version", "status", "x", "y", "w", "h", "state", "created_at", "updated_at", "last_seen", "last_error"])(
      "that changes with a setting of whatever name, so that its drift is seen (%s) (W-32)",
      (key) => {
        const own = catalog.services.get("redis") ?? expect.fail("no redis");
        const field = {
          ...(own.fields[0] ?? expect.fail("no field")),
          key,
          secret: false,
          type: "string",
          env: "SETTING",
        } as const;
        const services = new Map([...catalog.services, ["redis", { ...own, fields: [field] }]]);
        const hashWith = (value: string) =>
          render(spec([{ slug: "redis", config: { [key]: value } }]), { catalog: { ...catalog, services } }).services[0]?.hash;
        expect(hashWith("5.7")).not.toBe(hashWith("8.0.36"));
        expect(hashWith("5.7")).toBe(hashWith("5.7"));
      },
    );
  });

  it("without services is a base alone", () => {
    const rendered = render(spec([]));
    expect(Object.keys(composeOf(rendered).services)).toEqual(["web-01"]);
    expect(composeOf(rendered)).not.toHaveProperty("volumes");
    expect(rendered.files.map((file) => [file.path, file.mode])).toEqual([
      ["machine/resolv.conf", 0o444],
      ["machine/hostname", 0o444],
      ["machine/hosts", 0o444],
      ["compose.yaml", 0o600],
    ]);
  });

  it("refuses a service that the catalog does not have", () => {
    expect(() => render(spec([{ slug: "none", config: {} }]))).toThrow("service none is not in the catalog of this host");
  });
});
