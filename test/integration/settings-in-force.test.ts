import { coerceConfig } from "@decnet/engine/catalog/coerce";
import { loadCatalog } from "@decnet/engine/catalog/load";
import { renderDecky } from "@decnet/engine/render/render-decky";
import { execa } from "execa";
import { afterAll, describe, expect, it } from "vitest";
import { ownCatalog } from "../support/catalogs.ts";
import { type OneService, removeSharedVolumes, withService } from "../support/one-service.ts";
import { serviceImages } from "../support/service-images.ts";

/** Every printable byte of ASCII. */
const ascii = String.fromCharCode(...Array.from({ length: 95 }, (_, index) => 0x20 + index));
/** Every byte that UTF-8 has beyond ASCII: each that follows, and each that leads. */
const beyond = [
  ...Array.from({ length: 0x1f }, (_, index) => String.fromCodePoint(0xa1 + index)),
  ...Array.from({ length: 0x20 }, (_, index) => String.fromCodePoint(0x100 + index)),
  ...Array.from({ length: 0x1e }, (_, index) => String.fromCodePoint(0xc0 + index * 0x40)),
  ..."ࠀကぁ中豈﷐𐀀😀󠀁".replace(/\p{Noncharacter_Code_Point}/gu, ""),
].join("");
/** What a line may hold although a file or a terminal takes it for something else. */
const odd = "é|\u00a0|\u200b|\u202e|\ufeff|\ufffd|\ue000|\u{e0001}|\u{10fffd}|é";
const long = (bytes: number) => "x".repeat(bytes);

describe("http: a client sees", () => {
  const get = async (service: OneService, ...flags: string[]) =>
    (await service.run("curl", ["-s", "-i", "--max-time", "5", ...flags, "http://127.0.0.1/any/path"])).stdout;

  it.each([
    ["a name", "Apache/2.4.41 (Ubuntu)"],
    ["quotes, dollars and braces", `a"b'c\\d $host \${pid} {e};# %`],
    ["every byte of ASCII", ascii.trim()],
    ["other scripts", "Sörver/1 — 中文 😀"],
    ["odd characters", odd],
    ["the longest", long(256)],
  ])("the server header: %s", async (_, value) => {
    const { header, all } = await withService("http", { server_header: value }, async (service) => {
      const seen = await get(service);
      return { header: /^Server: (.*?)\r?$/mu.exec(seen)?.[1], all: seen };
    });
    expect(header, all).toBe(value);
  });

  it.each([200, 201, 206, 300, 301, 401, 404, 503, 599])("the response code %i", async (code) => {
    const seen = await withService("http", { response_code: code, custom_body: "page" }, (service) => get(service));
    expect(seen).toMatch(new RegExp(`^HTTP/1.1 ${code}\\b[^]*\\n\\r?\\npage$`));
  });

  it.each(["wordpress", "phpmyadmin", "tomcat", "jenkins", "none"])("the application %s", async (app) => {
    const seen = await withService("http", { fake_app: app }, (service) => get(service));
    expect(seen.toLowerCase()).toContain(app === "none" ? "it works" : app);
  });

  it.each<[string, unknown, Record<string, string>]>([
    ["lines", "X-One: 1\nX-Two:  two words \r\n\nX-Three: a:b", { "X-One": "1", "X-Two": "two words", "X-Three": "a:b" }],
    [
      "a JSON text",
      '{"X-One":"a\\u0041\\"\\\\","X-Two":2,"X-Three":true}',
      { "X-One": 'aA"\\', "X-Two": "2", "X-Three": "true" },
    ],
    ["an object", { "X-One": "$host $$ {e}" }, { "X-One": "$host $$ {e}" }],
    ["every byte of ASCII", { "X-All": ascii.trim() }, { "X-All": ascii.trim() }],
    ["bytes beyond ASCII", { "X-All": beyond }, { "X-All": beyond }],
    ["odd characters", { "X-Odd": odd }, { "X-Odd": odd }],
    ["the longest", { "X-Long": `"${"\\$".repeat(950)}"` }, { "X-Long": `"${"\\$".repeat(950)}"` }],
    [
      "headers that the server has itself",
      { "Content-Type": "text/plain", Server: "mine", Location: "/x", Date: "today", ETag: '"e"' },
      { "Content-Type": "text/plain", Server: "mine", Location: "/x", Date: "today", ETag: '"e"' },
    ],
  ])("extra headers as %s", async (_, extra_headers, expected) => {
    const seen = await withService("http", { extra_headers }, (service) => get(service));
    for (const [name, value] of Object.entries(expected))
      expect(seen.split(/\r?\n/).filter((line) => line.startsWith(`${name}:`))).toEqual([`${name}: ${value}`]);
  });

  it.each([
    [
      "every byte",
      `${Array.from({ length: 0x20 }, (_, i) => String.fromCharCode(0x80 + i)).join("")}${ascii}\t\r\n${beyond}\ufffe\u2028`,
    ],
    ["an end without a line break, and blanks", "  <a>\n\n b \n "],
    ["262,144 bytes", long(262_144)],
  ])("a body of %s", async (_, body) => {
    const seen = await withService("http", { custom_body: body }, (service) => get(service, "--output", "-"));
    const at = seen.indexOf("\r\n\r\n") >= 0 ? seen.indexOf("\r\n\r\n") + 4 : seen.indexOf("\n\n") + 2;
    expect(seen.slice(at) === body || `${seen.slice(at)}\n` === body).toBe(true);
  });

  it("the protocol", async () => {
    const version = (config: Record<string, unknown>, flag: string) =>
      withService("http", config, async (service) => (await get(service, flag)).split(" ")[0]);
    expect(await version({}, "--http1.1")).toBe("HTTP/1.1");
    expect(await version({ http_versions: ["http/1.1"] }, "--http1.1")).toBe("HTTP/1.1");
    expect(await version({ http_versions: ["http/2"] }, "--http2-prior-knowledge")).toBe("HTTP/2");
  });
});

describe("redis: a client sees", () => {
  const cli = async (service: OneService, password: string, ...words: string[]) =>
    (await service.run("redis-cli", ["--no-auth-warning", ...(password === "" ? [] : ["-a", password]), ...words])).stdout;

  it.each([
    ["every byte of ASCII", ascii],
    ["bytes beyond ASCII", beyond.slice(0, 100)],
    ["odd characters", odd],
    ["quotes and escapes", `"\\x41\\n' #`],
    ["the longest", long(256)],
  ])("the password: %s", async (_, password) => {
    await withService("redis", { password }, async (service) => {
      expect(await cli(service, "", "ping")).toContain("NOAUTH");
      expect(await cli(service, `${password}x`, "ping")).toMatch(/WRONGPASS|NOAUTH/);
      expect(await cli(service, password, "ping")).toBe("PONG");
    });
  });

  it.each([1, 96])("the memory limit %i, and can write", async (maxmemory_mb) => {
    await withService("redis", { maxmemory_mb }, async (service) => {
      expect(await cli(service, "", "config", "get", "maxmemory")).toContain(String(maxmemory_mb * 1_048_576));
      expect(await cli(service, "", "set", "a", "b")).toBe("OK");
    });
  });
});

interface Account {
  readonly user: string;
  readonly password: string;
  readonly hostname: string;
}

const accounts: Account[] = [
  { user: "j.doe", password: ascii, hostname: "web-01" },
  { user: "Administrator", password: "  a b  ", hostname: "h" },
  { user: "svc_backup", password: " ", hostname: "a.b_c.example" },
  { user: "0day", password: `'"\\n$(id)\`id\`:;%s!`, hostname: "WIN-2019" },
  // A group of that name is there already.
  { user: "staff", password: beyond.slice(0, 51), hostname: "1.2.3.4" },
  { user: "Root", password: beyond.slice(51), hostname: "x" },
  { user: "a-", password: odd, hostname: "0--0" },
  { user: "x.", password: "é".repeat(64), hostname: long(63) },
  { user: long(32), password: long(128), hostname: long(40) },
];
const longest = long(256);

describe("ssh: both accounts have their passwords and the prompt its name", () => {
  afterAll(() => removeSharedVolumes("ssh"));
  const login = async (service: OneService, user: string, password: string, command: string[], input = "") => {
    const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "PubkeyAuthentication=no"];
    const flags = [...options.flatMap((each) => ["-o", each]), "-l", user, "127.0.0.1", ...command];
    return (await service.run("sshpass", ["-p", password, "ssh", ...flags], input)).stdout;
  };

  it.each(accounts)("$user, $hostname", async ({ user, password, hostname }) => {
    await withService("ssh", { user, password, user_password: password, hostname }, async (service) => {
      expect(await login(service, user, password, ["whoami; pwd"])).toBe(`${user}\n/home/${user}`);
      expect(await login(service, user, password, ["-tt"], "exit\n")).toContain(`${user}@${hostname}:~$`);
      expect(await login(service, "root", password, ["-tt"], "exit\n")).toContain(`root@${hostname}:~#`);
    });
  });

  it("the longest password counts to its last letter", async () => {
    await withService("ssh", { password: longest, user_password: longest }, async (service) => {
      expect(await login(service, "root", longest, ["whoami"])).toBe("root");
      expect(await login(service, "ubuntu", longest.slice(1), ["whoami"])).toBe("");
    });
  });
});

describe("telnet: both accounts have their passwords and the prompt its name", () => {
  const login = (service: OneService, user: string, password: string, then: string) =>
    service.talk(23, [
      ["login: ", `${user}\r`],
      ["Password: ", `${password}\r`],
      [then, ""],
    ]);

  it.each(accounts)("$user, $hostname", async ({ user, password, hostname }) => {
    await withService("telnet", { user, password, user_password: password, hostname }, async (service) => {
      expect(await login(service, user, password, `${user}@${hostname}:~$`)).toContain(`${user}@${hostname}:~$`);
      expect(await login(service, "root", password, `root@${hostname}:~#`)).toContain(`root@${hostname}:~#`);
    });
  });

  it("the longest password counts to its last letter", async () => {
    await withService("telnet", { password: longest, user_password: longest }, async (service) => {
      expect(await login(service, "root", longest, "root@")).toContain("root@");
      expect(await login(service, "ubuntu", longest.slice(1), "incorrect")).toContain("incorrect");
    });
  });
});

describe("ftp: a client logs in, and sees the banner", () => {
  const login = (service: OneService, user: string, password: string) =>
    service.talk(21, [
      ["220", `USER ${user}\r\n`],
      ["331", `PASS ${password}\r\n`],
      ["30 ", ""],
    ]);
  const banners = ["ProFTPD 1.3.5 Server", ascii.trim(), beyond, longest, odd, "a=b", "# none", "YES"];

  it.each(
    [...accounts, { user: "anonymous", password: "x" }, { user: "FTP", password: "x" }].map((each, index) => ({
      ...each,
      banner: banners[index] ?? "x",
    })),
  )("$user, $banner", async ({ user, password, banner }) => {
    await withService("ftp", { user, password, banner }, async (service) => {
      const seen = await login(service, user, password);
      expect(seen.split("\r\n")[0]).toBe(`220 ${banner}`);
      expect(seen).toContain("230 ");
    });
  });

  it("the longest password counts to its last letter", async () => {
    await withService("ftp", { password: long(128) }, async (service) => {
      expect(await login(service, "ftpuser", long(128))).toContain("230 ");
      expect(await login(service, "ftpuser", long(127))).toContain("530 ");
    });
  });
});

describe("between the catalog and the servers", () => {
  it("compose hands on every character of a setting", async () => {
    const all = String.fromCodePoint(
      ...Array.from({ length: 0xffff }, (_, index) => index + 1).filter((code) => code < 0xd800 || code > 0xdfff),
      ...[0x10000, 0x1f600, 0x1fffe, 0x10ffff],
    );
    const rendered = renderDecky(
      {
        ...{ scope: "fleet", name: "a", revision: 1, hostname: "a", baseImage: "a", buildBase: "a", osFamily: "linux" },
        attachments: [
          {
            lan: { name: "l", driver: "bridge", subnet: "10.9.8.0/24", gateway: "10.9.8.1", parent: undefined },
            ...{ ip: "10.9.8.7", mac: "00:50:56:00:00:01" },
          },
        ],
        forwards: false,
        services: [{ slug: "ftp", config: { banner: all } }],
      },
      {
        catalog: await loadCatalog([ownCatalog]),
        ...{ instance: "i", projectDir: "/p", fingerprint: () => "f".repeat(64), pinMac: true, limits: {}, contents: new Map() },
      },
    );
    const input = rendered.files.find((file) => file.path === "compose.yaml")?.content ?? "";
    const { stdout } = await execa("docker", ["compose", "-f", "-", "config", "--format", "json"], { input });
    const seen = JSON.parse(stdout) as { services: Record<string, { environment: Record<string, string> }> };
    expect(seen.services["a-ftp"]?.environment["FTP_BANNER"]?.replaceAll("$$", "$") === all).toBe(true);
  });

  it.each(["ssh", "telnet", "ftp"])("every account that the image of %s has is refused as a name", async (slug) => {
    const entry = (await loadCatalog([ownCatalog])).services.get(slug);
    if (entry === undefined) throw new Error(`no ${slug}`);
    const [image] = await serviceImages([entry]);
    const run = ["run", "--rm", "--network", "none", "--entrypoint", "cut", image?.tag ?? "", "-d:", "-f1", "/etc/passwd"];
    for (const user of (await execa("docker", run)).stdout.split("\n"))
      expect(() => coerceConfig(entry, { user }), user).toThrow(/^user: cannot be/);
  });
});
