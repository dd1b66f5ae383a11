import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat, writeFile } from "node:fs/promises";
import { createServer as createWeb } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { createServer as createTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newAgent, newAuthority } from "../support/certificates.ts";
import { type TestCli, useCli } from "../support/use-cli.ts";
import { type TestMaster, useMaster } from "../support/use-master.ts";

/** How the command line reaches a master over TLS, and what it says when nothing, or something else, is there. */
describe("decnet and the way to the master", () => {
  let master: TestMaster;
  let cli: TestCli;
  let caFile: string;
  let fingerprint: string;
  let tokenFile: string;
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const bare = { DECNET_ADDRESS: "", DECNET_TOKEN: "" };
  const run = (...args: string[]) => cli.run(args, { env: bare });
  const https = () => `https://127.0.0.1:${master.tlsPort}`;

  beforeAll(async () => {
    master = await useMaster({ env: { DECNET_TLS_HOST: "127.0.0.1", DECNET_TLS_PORT: "0" } });
    cli = await useCli(master, { isShipped: true });
    caFile = join(master.config.dataDir, "pki", "ca.pem");
    tokenFile = join(cli.folder, "token");
    await writeFile(tokenFile, master.token, { mode: 0o600 });
  });
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers) server.close();
    await cli?.dispose();
    await master?.dispose();
  });

  /** The port of a server that lives until the end of the file. */
  async function open(server: Server, host = "127.0.0.1"): Promise<number> {
    servers.push(server);
    server.on("connection", (socket: Socket) => sockets.add(socket.on("error", () => undefined)));
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
    return (server.address() as AddressInfo).port;
  }

  it("goes over TLS when the authority is named, for any command", async () => {
    for (const args of [["status"], ["decky", "list"], ["whoami"], ["version"]])
      expect(await run(...args, "--address", https(), "--ca", caFile, "--token-file", tokenFile)).toMatchObject({ exit: 0 });
    const doctor = await run("doctor", "--address", https(), "--ca", caFile, "--token-file", tokenFile);
    expect(doctor.stdout).toContain(`✔ address   ${https()} answers`);
    const byEnv = await cli.run(["whoami"], { env: { DECNET_ADDRESS: https(), DECNET_CA: caFile } });
    expect(byEnv.exit).toBe(0);
  });

  it("only notes that a master without deckies of its own has no engine", async () => {
    const doctor = await cli.run(["doctor"], { env: { DECNET_DOCKER_SOCKET: "/nowhere.sock" } });
    expect(doctor.stdout).toMatch(
      /– docker +\/nowhere\.sock: .*; needed for deckies on the host local, which has none\n {2}next: +start the Docker/,
    );
    expect(doctor.stdout).not.toContain("✖ docker");
  });

  it("trusts nobody by itself: says the fingerprint, and the command that trusts it", async () => {
    const refused = await run("status", "--address", https(), "--token-file", tokenFile);
    expect(refused).toMatchObject({ exit: 6, stdout: "" });
    expect(refused.stderr).toMatch(/error: MASTER_NOT_TRUSTED .*sha256:[0-9a-f]{64}\); no token was sent/s);
    expect(refused.stderr).toContain(`context add NAME --address ${https()} --token-file FILE`);
    fingerprint = /sha256:[0-9a-f]{64}/.exec(refused.stderr)?.[0] ?? "";
  });

  it("stores a context in a script only with the right fingerprint", async () => {
    const add = ["context", "add", "prod", "--address", https(), "--token-file", tokenFile];
    const asked = await run(...add);
    expect(asked.exit).toBe(2);
    expect(asked.stderr).toContain(`needs --fingerprint ${fingerprint}`);
    const wrong = await run(...add, "--fingerprint", `sha256:${"0".repeat(64)}`);
    expect([wrong.exit, wrong.stderr]).toEqual([6, expect.stringContaining("MASTER_NOT_TRUSTED")]);
    const colons = fingerprint
      .slice("sha256:".length)
      .toUpperCase()
      .replace(/..(?!$)/g, "$&:");
    expect((await run(...add, "--fingerprint", `sha256 Fingerprint=${colons}`)).exit).toBe(0);
    expect((await stat(join(cli.folder, "ca", "prod.pem"))).mode & 0o777).toBe(0o600);
    expect((await run("status", "--context", "prod")).exit).toBe(0);
    expect((await run("context", "remove", "prod")).exit).toBe(0);
  });

  it("asks on a terminal, and No is the default", async () => {
    const add = ["context", "add", "typed", "--address", https(), "--token-file", tokenFile];
    const no = await cli.type(add, [["Trust it from now on? [y/N]", "\n"]]);
    expect([no.exit, no.screen]).toEqual([2, expect.stringContaining(fingerprint)]);
    expect((await cli.type(add, [["Trust it from now on? [y/N]", "y\n"]])).exit).toBe(0);
    expect((await run("whoami", "--context", "typed")).exit).toBe(0);
    expect((await run("context", "add", "named", "--address", https(), "--ca", caFile, "--token-file", tokenFile)).exit).toBe(0);
    expect((await run("whoami", "--context", "named")).exit).toBe(0);
  });

  it("sends no token to a master whose authority has changed, nor to a worker of the same installation", async () => {
    const heard: string[] = [];
    const authority = await newAuthority();
    const { certPem, keyPem } = await newAgent(authority);
    const port = await open(
      createTls({ cert: `${certPem}\n${authority.certPem}`, key: keyPem, ALPNProtocols: ["h2"] }, (socket) => {
        socket.on("data", (chunk) => heard.push(chunk.toString("latin1"))).on("error", () => undefined);
      }),
    );
    const place = ["--address", `https://127.0.0.1:${port}`, "--token-file", tokenFile];
    const changed = await run("status", ...place, "--ca", caFile);
    expect(changed.exit).toBe(6);
    expect(changed.stderr).toContain("shows another certificate authority than the one that is trusted");
    const file = join(cli.folder, "other-ca.pem");
    await writeFile(file, authority.certPem);
    const worker = await run("status", ...place, "--ca", file);
    expect([worker.exit, worker.stderr]).toEqual([6, expect.stringMatching(/does not fit: .*(purpose|worker)/)]);
    expect(heard.join("")).not.toContain(master.token);
  });

  it("sends a token over http to this machine alone, unless --insecure says otherwise", async () => {
    const elsewhere = ["http://192.0.2.7:7440", "http://master.example:7440", "http://[2001:db8::1]:7440"];
    const disguised = ["http://[::ffff:192.0.2.7]:7440", "http://127.0.0.1.example:7440"];
    for (const address of [...elsewhere, ...disguised]) {
      const refused = await run("status", "--address", address, "--token-file", tokenFile);
      expect(refused).toMatchObject({ exit: 2, stdout: "" });
      expect(refused.stderr).toMatch(/would send your token there in clear; nothing was sent[\s\S]*--insecure/);
    }
    const tried = await run("status", "--address", "http://no-such-host.invalid:7440", "--insecure");
    expect(tried.exit).toBe(6);
  });

  it("does not even connect to another machine over http, whatever names it: flag, environment, context or a Tab", async () => {
    const own = Object.values(networkInterfaces())
      .flatMap((each) => each ?? [])
      .find(({ internal, family }) => !internal && family === "IPv4");
    let connections = 0;
    const port = await open(
      createServer((socket) => {
        connections += 1;
        socket.destroy();
      }),
      "0.0.0.0",
    );
    const there = `http://${own?.address ?? expect.fail("this machine has no address but loopback")}:${port}`;
    const config = join(cli.folder, "clear.yaml");
    const context = (more: string) => `contexts: [{name: far, address: "${there}", tokenFile: "${tokenFile}"${more}}]\n`;
    await writeFile(config, context(""));
    const env = { ...bare, DECNET_CONFIG: config };
    const inClear = /would send your token there in clear; nothing was sent/;
    for (const [args, more] of [
      [["status", "--address", there, "--token-file", tokenFile], {}],
      [["doctor", "--address", there, "--token-file", tokenFile], {}],
      [["whoami"], { DECNET_ADDRESS: there, DECNET_TOKEN: master.token }],
      [["decky", "list"], { DECNET_CONTEXT: "far" }],
      [["events", "--context", "far"], {}],
      [["context", "add", "other", "--address", there, "--token-file", tokenFile], {}],
    ] satisfies [string[], Record<string, string>][]) {
      const refused = await cli.run(args, { env: { ...env, ...more } });
      expect([refused.exit, refused.stderr]).toEqual([2, expect.stringMatching(inClear)]);
    }
    expect(await cli.run(["__complete", "--", "--context", "far", "decky", "get", ""], { env })).toMatchObject({ stdout: "" });
    // What the file allows for one address is not allowed for another.
    await writeFile(config, context(", insecure: true"));
    const other = await cli.run(["status", "--context", "far", "--address", `${there.replace(/:\d+$/, "")}:1`], { env });
    expect([other.exit, other.stderr]).toEqual([2, expect.stringMatching(inClear)]);
    expect(connections).toBe(0);
    expect((await cli.run(["status", "--context", "far"], { env })).exit).toBe(6);
    expect(connections).toBeGreaterThan(0);
    expect((await cli.run(["context", "list"], { env })).stdout).toMatch(/far .*token in clear/);
  });

  it.each([301, 302, 307, 308])("follows no redirect with a token (%i)", async (status) => {
    const heard: string[] = [];
    const target = await open(createServer((socket) => void socket.on("data", (chunk) => heard.push(chunk.toString("latin1")))));
    const location = `http://127.0.0.1:${target}/`;
    const web = createWeb((_, response) => response.writeHead(status, { location }).end());
    const web2 = createHttp2((_, response) => response.writeHead(status, { location }).end());
    for (const server of [web, web2]) {
      const address = `http://127.0.0.1:${await open(server)}`;
      expect((await run("status", "--address", address, "--token-file", tokenFile)).exit).toBe(6);
      await run("__complete", "--", "--address", address, "--token-file", tokenFile, "decky", "get", "");
    }
    expect(heard).toEqual([]);
  });

  it.each<[what: string, address: () => string | Promise<string>, says: RegExp]>([
    ["the address holds a password", () => "http://:secret@127.0.0.1:1", /holds more than a host and a port/],
    ["nobody listens", () => "http://127.0.0.1:1", /connection refused[\s\S]*next: .*doctor/],
    ["there is no such host", () => "https://no-such-host.invalid:7443", /no-such-host\.invalid/],
    ["the address is none", () => "127.0.0.1:7440", /is no address of a master/],
    ["the address is garbage", () => "http://[", /is no address of a master/],
    ["it is http against a TLS port", () => `http://127.0.0.1:${master.tlsPort}`, /speaks TLS, and the address says http:/],
    [
      "it is https against a plain port",
      () => `https://127.0.0.1:${master.port}`,
      /does not speak TLS, and the address says https/,
    ],
    [
      "a web server is there",
      async () => `http://127.0.0.1:${await open(createWeb((_, response) => response.end("hello")))}`,
      /no decnet master/,
    ],
    [
      "a web server with HTTP/2 is there",
      async () => {
        const web = createHttp2((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("hello"));
        return `http://127.0.0.1:${await open(web)}`;
      },
      /not as a decnet master does/,
    ],
    [
      "something hangs up",
      async () => `http://127.0.0.1:${await open(createServer((socket) => socket.destroy()))}`,
      /hangs up at once/,
    ],
  ])("says what is wrong, with exit code 6, when %s", async (_, address, says) => {
    const failed = await run("status", "--address", await address(), "--token-file", tokenFile);
    expect(failed.stderr).toMatch(/error: MASTER_UNREACHABLE /);
    expect(failed.stderr).toMatch(says);
    expect(failed).toMatchObject({ exit: 6, stdout: "" });
  });

  it("says within five seconds whom it waits for, and gives up on one who says nothing", async () => {
    const port = await open(createServer(() => undefined));
    const begun = performance.now();
    const child = spawn(cli.program, ["status", "--address", `http://127.0.0.1:${port}`], { env: cli.env, stdio: "pipe" });
    let shown = "";
    child.stderr.on("data", (chunk: Buffer) => {
      shown ||= chunk.toString();
    });
    await once(child.stderr, "data");
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect(shown).toContain(`waiting for the master at http://127.0.0.1:${port}`);
    expect((await once(child, "exit"))[0]).toBe(6);
  });
});
