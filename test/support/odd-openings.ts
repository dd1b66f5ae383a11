/** What somebody may send first on a connection. */
export interface Opening {
  readonly name: string;
  readonly protocol: "http/1.1" | "h2";
  readonly bytes: Buffer;
  /** The connection is half closed after the bytes. */
  readonly ends: boolean;
}

const check = "/grpc.health.v1.Health/Check";
const bytesOf = (text: string) => Buffer.from(text, "latin1");
const shown = (text: string) => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}… (${text.length})` : text);

/** Names of machines that are none, and some that are. */
const hosts = [
  ...[
    "[",
    "]",
    "[]",
    "[::1",
    "::1]",
    "[::1]x",
    "[::g]",
    "[1.2.3.4]",
    "::::",
    ":",
    ":80",
    "a:",
    "a:b",
    "a:-1",
    "a:65536",
    "a:1:2",
  ],
  ...[
    "a b",
    "a/b",
    "a\\b",
    "a?b",
    "a#b",
    "a@b",
    "user:pw@a",
    "@",
    "a,b",
    "a;b",
    "<a>",
    "a^b",
    "a|b",
    "`a`",
    "%",
    "%0",
    "%00",
    "%5b",
    "a%2fb",
  ],
  ...[
    "http://a",
    "//a",
    "a//",
    "..",
    ".",
    "-",
    "_",
    "*",
    "*.a",
    "0x7f.1",
    "1.2.3.4.5",
    "256.256.256.256",
    "\xe4",
    "\xff\xfe",
    "xn--",
    "xn--a",
  ],
  ...["a".repeat(300), "a.".repeat(2_000), "[".repeat(1_000), "::1:7440", "localhost", "127.0.0.1:7440", "[::1]:7440", ""],
];

const targets = [
  ...[
    "*",
    "a",
    "a:80",
    "http://a/",
    "http://[",
    `http://[${check}`,
    `https://a:b${check}`,
    "ftp://a/",
    "javascript:x",
    "data:,x",
    "//",
    "//[",
  ],
  ...[
    "//[/x",
    "///",
    "/\\",
    "/%",
    "/%zz",
    "/%00",
    "/..",
    "/../../etc/passwd",
    "/?",
    "/?a=%",
    "/#",
    `${check}?x=[`,
    `${check}#`,
    `${check}/..`,
  ],
  ...[`/${"a".repeat(9_000)}`, `/${"a/".repeat(3_000)}`, "/\xff", "/a b", "?", "#", ".", ""],
];

const http1 = (name: string, text: string, ends = false): Opening => ({
  name: `HTTP/1: ${name}`,
  protocol: "http/1.1",
  bytes: bytesOf(text),
  ends,
});

const json = "content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
const rpc = (head: string) => `POST ${check} HTTP/1.1\r\n${head}${json}`;

const http1Openings: readonly Opening[] = [
  ...hosts.map((host) => http1(`Host ${shown(host)}`, rpc(`Host: ${host}\r\n`))),
  ...targets.map((target) => http1(`target ${shown(target)}`, `POST ${target} HTTP/1.1\r\nHost: a\r\n${json}`)),
  ...["[", "", "a b"].map((host) => http1(`1.0 with Host ${shown(host)}`, `POST ${check} HTTP/1.0\r\nHost: ${host}\r\n${json}`)),
  ...["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PRI", "BREW", "get", "G\xcbT", ""].map((method) =>
    http1(`1.0 without Host, ${shown(method)}`, `${method} ${check} HTTP/1.0\r\n\r\n`),
  ),
  ...["0.9", "1.2", "2.0", "3.0", "9.9", "1", "x", "1.1.1", ""].map((version) =>
    http1(`version ${shown(version)}`, `GET / HTTP/${version}\r\nHost: a\r\n\r\n`),
  ),
  ...["a:80", "[", "[::1]:443", "", "/", "*", "http://a/"].map((target) =>
    http1(`CONNECT ${shown(target)}`, `CONNECT ${target} HTTP/1.1\r\nHost: a\r\n\r\nbytes of a tunnel`),
  ),
  ...["h2c", "websocket", "TLS/1.0", "h2c, websocket", "\xff", ""].map((protocol) =>
    http1(
      `Upgrade ${shown(protocol)}`,
      rpc(`Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n`),
    ),
  ),
  ...["100-continue", "200-ok", "", "100-continue, x", "\xff"].map((expect) =>
    http1(`Expect ${shown(expect)}`, rpc(`Host: a\r\nExpect: ${expect}\r\n`)),
  ),
  ...["-1", "x", "1e3", "0x2", "99999999999999999999", "2, 2", "2, 3", "", " ", "+2"].map((length) =>
    http1(`Content-Length ${shown(length)}`, `POST ${check} HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n{}`),
  ),
  ...["chunked", "gzip", "chunked, gzip", "gzip, chunked", "xchunked", "chunked\r\nTransfer-Encoding: identity", "\xff", ""].map(
    (coding) =>
      http1(
        `Transfer-Encoding ${shown(coding)}`,
        `POST ${check} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ${coding}\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`,
      ),
  ),
  http1("both lengths", `POST ${check} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  http1("a chunk without end", `POST ${check} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nx`, true),
  http1("two hosts", rpc("Host: a\r\nHost: [\r\n")),
  http1("the same host twice", rpc("Host: a\r\nHost: a\r\n")),
  http1("a folded header", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),
  http1("a blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
  http1("a header without a name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"),
  http1("a header without a colon", "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n"),
  http1("NUL in a header", "GET / HTTP/1.1\r\nHost: a\r\nx: \0\r\n\r\n"),
  http1("bare line feeds", "GET / HTTP/1.1\nHost: a\n\n"),
  http1("bare carriage returns", "GET / HTTP/1.1\rHost: a\r\r"),
  http1("one huge header", `GET / HTTP/1.1\r\nHost: a\r\nx: ${"y".repeat(200_000)}\r\n\r\n`),
  http1("many headers", `GET / HTTP/1.1\r\nHost: a\r\n${"x: y\r\n".repeat(5_000)}\r\n`),
  http1("a prototype in the headers", "GET / HTTP/1.1\r\nHost: a\r\n__proto__: x\r\nconstructor: y\r\n\r\n"),
  http1("pipelined nonsense", `${rpc("Host: a\r\n")}${rpc("Host: [\r\n")}\r\n\r\nnonsense`),
  http1(
    "a body that is cut",
    `POST ${check} HTTP/1.1\r\nHost: a\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{`,
    true,
  ),
  http1("odd content type", `POST ${check} HTTP/1.1\r\nHost: a\r\ncontent-type: \xff;;=\r\ncontent-length: 0\r\n\r\n`),
  http1("odd timeout", rpc("Host: a\r\nconnect-timeout-ms: -1e9\r\nconnect-protocol-version: \xff\r\n")),
  http1("odd encoding", rpc("Host: a\r\ncontent-encoding: br, gzip, x\r\n")),
  http1("a body that is no gzip", rpc("Host: a\r\ncontent-encoding: gzip\r\n")),
  http1("an odd token", rpc("Host: a\r\nauthorization: Bearer \xff\xfe\r\n")),
  ...[
    "",
    "\0",
    "\r\n",
    "\r\n\r\n\r\n",
    "\xff".repeat(64),
    "PRI",
    "PRI * HTTP/2.0\r\n\r\n",
    "PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n",
    "SSH-2.0-x\r\n",
  ].map((text) => http1(`begins ${shown(text)}`, text, true)),
  http1("a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
  http1("an old TLS handshake", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"),
];

type Field = readonly [name: string, value: string];

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** HPACK without any table and without Huffman. */
export function encodeFields(fields: readonly Field[]): Buffer {
  const text = (value: string) => {
    const bytes = bytesOf(value);
    if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
    const length = [127];
    for (let rest = bytes.length - 127; ; rest >>= 7) {
      length.push(rest < 128 ? rest : (rest & 127) | 128);
      if (rest < 128) break;
    }
    return Buffer.concat([Buffer.from(length), bytes]);
  };
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

const preface = bytesOf("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const greeting = Buffer.concat([preface, frame(4, 0, 0), frame(4, 1, 0)]);

/** A request as frames of a stream; a long head is continued. */
export function request(fields: readonly Field[], stream: number): Buffer {
  const head = encodeFields(fields);
  const parts = [frame(1, head.length > 16_000 ? 0 : 4, stream, head.subarray(0, 16_000))];
  for (let at = 16_000; at < head.length; at += 16_000)
    parts.push(frame(9, at + 16_000 >= head.length ? 4 : 0, stream, head.subarray(at, at + 16_000)));
  return Buffer.concat([...parts, frame(0, 1, stream, bytesOf("{}"))]);
}

const usual: readonly Field[] = [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", check],
  [":authority", "a"],
  ["content-type", "application/json"],
];
const changed = (name: string, value: string | undefined): Field[] =>
  usual.flatMap((field): Field[] => (field[0] !== name ? [field] : value === undefined ? [] : [[name, value]]));

/** Heads of requests, each odd in one place. */
export const oddHeads: readonly (readonly [name: string, fields: readonly Field[]])[] = [
  ...hosts.map((host) => [`:authority ${shown(host)}`, changed(":authority", host)] as const),
  ...hosts
    .slice(0, 12)
    .map((host) => [`Host ${shown(host)} alone`, [...changed(":authority", undefined), ["host", host]]] as const),
  ...targets.map((target) => [`:path ${shown(target)}`, changed(":path", target)] as const),
  ...["http", "https", "ftp", "", "[", "javascript"].map(
    (scheme) => [`:scheme ${shown(scheme)}`, changed(":scheme", scheme)] as const,
  ),
  ...["GET", "CONNECT", "TRACE", "post", "", "\xff", "PRI"].map(
    (method) => [`:method ${shown(method)}`, changed(":method", method)] as const,
  ),
  ...[":authority", ":path", ":scheme", ":method"].map((name) => [`no ${name}`, changed(name, undefined)] as const),
  ...[":authority", ":path", ":scheme", ":method"].map((name) => [`${name} twice`, [...usual, [name, "x"]]] as const),
  ["another Host", [...usual, ["host", "["]]],
  ["two Hosts", [...usual, ["host", "a"], ["host", "a"]]],
  ["no authority at all, and no Host", changed(":authority", undefined)],
  [
    "CONNECT to an odd place",
    [
      [":method", "CONNECT"],
      [":authority", "["],
    ],
  ],
  ["extended CONNECT", [...changed(":method", "CONNECT"), [":protocol", "websocket"]]],
  ["a pseudo header at the end", [...usual, [":odd", "x"]]],
  ["upper case", [...usual, ["X-Y", "z"]]],
  ["a connection header", [...usual, ["connection", "close"]]],
  ["an upgrade", [...usual, ["upgrade", "h2c"], ["http2-settings", "x"]]],
  ["te", [...usual, ["te", "gzip"]]],
  ["transfer-encoding", [...usual, ["transfer-encoding", "chunked"]]],
  ["line feeds in a value", [...usual, ["x", "a\r\nb"]]],
  ["an empty name", [...usual, ["", "x"]]],
  ["expect", [...usual, ["expect", "nonsense"]]],
  ["expect 100", [...usual, ["expect", "100-continue"]]],
  ["a wrong length", [...usual, ["content-length", "99"]]],
  ["two lengths", [...usual, ["content-length", "2"], ["content-length", "3"]]],
  ["a huge head", [...usual, ["x", "y".repeat(60_000)]]],
  ["many fields", [...usual, ...Array.from({ length: 400 }, (): Field => ["x", "y"])]],
  ["odd gRPC", [...changed("content-type", "application/grpc"), ["grpc-timeout", "\xff"], ["grpc-encoding", "x"]]],
  ["odd gRPC-Web", [...changed("content-type", "application/grpc-web-text"), ["grpc-accept-encoding", "\xff"]]],
];

const http2 = (name: string, ...parts: Buffer[]): Opening => ({
  name: `HTTP/2: ${name}`,
  protocol: "h2",
  bytes: Buffer.concat(parts),
  ends: false,
});
const good = request(usual, 1);

/** Frames that break the protocol of the whole connection. */
export const brokenFrames: readonly (readonly [name: string, bytes: Buffer])[] = [
  ["a frame that is cut", frame(1, 4, 1, encodeFields(usual)).subarray(0, 20)],
  ["a frame larger than allowed", frame(0, 0, 1, Buffer.alloc(20_000))],
  ["a frame of an announced megabyte", Buffer.concat([Buffer.from([0x10, 0, 0, 0, 0, 0, 0, 0, 1])])],
  ["data before a head", frame(0, 1, 1, Buffer.from("x"))],
  ["a head on stream 0", frame(1, 5, 0, encodeFields(usual))],
  ["a head on an even stream", frame(1, 5, 2, encodeFields(usual))],
  ["streams backwards", Buffer.concat([request(usual, 5), request(usual, 3)])],
  ["a broken head", frame(1, 5, 1, Buffer.alloc(40, 0xff))],
  ["a reference into an empty table", frame(1, 5, 1, Buffer.from([0xff, 0xff, 0x7f]))],
  ["a table that grows without end", frame(1, 5, 1, Buffer.from([0x3f, 0xff, 0xff, 0xff, 0x7f]))],
  ["a continuation of nothing", frame(9, 4, 1, encodeFields(usual))],
  ["a head that is never finished", Buffer.concat([frame(1, 0, 1, encodeFields(usual)), frame(0, 1, 1)])],
  [
    "continuations without end",
    Buffer.concat([frame(1, 0, 1), ...Array.from({ length: 3_000 }, () => frame(9, 0, 1, encodeFields([["x", "y"]])))]),
  ],
  ["empty continuations without end", Buffer.concat([frame(1, 0, 1), ...Array.from({ length: 5_000 }, () => frame(9, 0, 1))])],
  ["settings of a wrong length", frame(4, 0, 0, Buffer.alloc(5))],
  ["settings on a stream", frame(4, 0, 1)],
  ["odd settings", frame(4, 0, 0, Buffer.from([0, 2, 0, 0, 0, 9, 0, 5, 0, 0, 0, 1, 0, 4, 0xff, 0xff, 0xff, 0xff]))],
  ["settings without end", Buffer.concat(Array.from({ length: 3_000 }, () => frame(4, 0, 0)))],
  ["pings without end", Buffer.concat(Array.from({ length: 3_000 }, () => frame(6, 0, 0, Buffer.alloc(8))))],
  ["a ping of a wrong length", frame(6, 0, 0, Buffer.alloc(7))],
  ["a push to the server", frame(5, 4, 1, Buffer.concat([Buffer.from([0, 0, 0, 2]), encodeFields(usual)]))],
  ["a window of nothing", frame(8, 0, 0, Buffer.alloc(4))],
  [
    "a window beyond all bounds",
    Buffer.concat([frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])), frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff]))]),
  ],
  ["a goodbye", frame(7, 0, 0, Buffer.alloc(8, 0xff))],
  ["a reset of nothing", frame(3, 0, 1, Buffer.alloc(4))],
  ["a reset of a wrong length", frame(3, 0, 1, Buffer.alloc(3))],
  [
    "streams that are reset at once",
    Buffer.concat(
      Array.from({ length: 400 }, (_, index) =>
        Buffer.concat([frame(1, 4, 2 * index + 1, encodeFields(usual)), frame(3, 0, 2 * index + 1, Buffer.from([0, 0, 0, 8]))]),
      ),
    ),
  ],
  ["padding longer than its frame", frame(0, 8, 1, Buffer.from([0xff, 1]))],
  ["a stream that depends on itself", frame(2, 0, 1, Buffer.from([0, 0, 0, 1, 0]))],
  ["a type that nobody knows", frame(0xee, 0xff, 1, Buffer.alloc(64))],
  [
    "an origin, and an alternative",
    Buffer.concat([frame(0xc, 0, 0, Buffer.from([0, 1, 0x5b])), frame(0xa, 0, 0, Buffer.from([0, 1, 0x5b, 0x5b]))]),
  ],
  ["nonsense", Buffer.alloc(500, 0xa5)],
];

const http2Openings: readonly Opening[] = [
  http2("nothing but the preface", preface),
  http2("a preface that is cut", preface.subarray(0, 20)),
  http2("a preface that is wrong", Buffer.concat([preface.subarray(0, 18), Buffer.from("XX\r\n\r\n")]), good),
  http2("no settings", preface, good),
  { ...http2("a good request and half a close", greeting, good), ends: true },
  { ...http2("half a request and half a close", greeting, frame(1, 4, 1, encodeFields(usual))), ends: true },
  ...oddHeads.map(([name, fields]) => http2(name, greeting, request(fields, 1))),
  ...brokenFrames.map(([name, bytes]) => http2(name, greeting, bytes)),
  ...brokenFrames.slice(0, 12).map(([name, bytes]) => http2(`${name}, after a good request`, greeting, good, bytes)),
];

export const openings: readonly Opening[] = [...http1Openings, ...http2Openings];

const settings = Buffer.concat([frame(4, 0, 0), frame(4, 1, 0)]);
const answer = (fields: readonly Field[], flags = 5) => frame(1, flags, 1, encodeFields(fields));
const ok: readonly Field[] = [
  [":status", "200"],
  ["content-type", "application/grpc+proto"],
];
const message = (payload: string) => frame(0, 0, 1, bytesOf(payload));

/** What a server may send to a client that has one call open on stream 1. */
export const oddAnswers: readonly (readonly [name: string, bytes: Buffer])[] = [
  ...brokenFrames,
  ["no status", answer([["content-type", "application/grpc"]])],
  ...["", "0", "abc", "99", "100", "101", "103", "204", "304", "500", "999", "1000", "-1"].map(
    (status) => [`status ${shown(status)}`, answer([[":status", status]])] as const,
  ),
  ["a request's head", answer(usual)],
  ["a push", Buffer.concat([frame(5, 4, 1, Buffer.concat([Buffer.from([0, 0, 0, 2]), encodeFields(usual)])), answer(ok)])],
  [
    "a push and its answer",
    Buffer.concat([
      frame(5, 4, 1, Buffer.concat([Buffer.from([0, 0, 0, 2]), encodeFields(usual)])),
      frame(1, 5, 2, encodeFields(ok)),
    ]),
  ],
  ["an unasked answer", frame(1, 5, 9, encodeFields(ok))],
  ["two heads", Buffer.concat([answer(ok, 4), answer(ok)])],
  ["nothing after the head", answer(ok, 4)],
  ["nothing in the end", Buffer.concat([answer(ok, 4), frame(0, 1, 1)])],
  ["a huge message announced", Buffer.concat([answer(ok, 4), message("\0\xff\xff\xff\xff")])],
  ["an odd flag", Buffer.concat([answer(ok, 4), message("\xff\0\0\0\0"), answer([["grpc-status", "0"]])])],
  ["no protobuf", Buffer.concat([answer(ok, 4), message("\0\0\0\0\x02\xff\xff"), answer([["grpc-status", "0"]])])],
  ...["", "x", "-1", "99", "1e9", "\xff"].map(
    (status) => [`grpc-status ${shown(status)}`, answer([...ok, ["grpc-status", status]])] as const,
  ),
  ...["%", "%zz", "%ff%fe", "\xff", "%E0%A4%A"].map(
    (text) => [`grpc-message ${shown(text)}`, answer([...ok, ["grpc-status", "2"], ["grpc-message", text]])] as const,
  ),
  ...["%", "AAAA", "####"].map(
    (text) => [`details ${shown(text)}`, answer([...ok, ["grpc-status", "2"], ["grpc-status-details-bin", text]])] as const,
  ),
  ["an odd encoding", answer([...ok, ["grpc-encoding", "x"]], 4)],
  [
    "another content type",
    answer([
      [":status", "200"],
      ["content-type", "[\xff"],
    ]),
  ],
  ["a reset", frame(3, 0, 1, Buffer.from([0xff, 0xff, 0xff, 0xff]))],
].map(([name, bytes]) => [name as string, Buffer.concat([settings, bytes as Buffer])] as const);
