// Who may import whom. Run by test/architecture, which also shows that every rule below fires when it is broken.

/** Which packages a package may import, besides itself. A folder under packages/ that is not named here is refused. */
const mayImport = {
  contract: [],
  common: ["contract"],
  engine: ["contract", "common"],
  master: ["contract", "common", "engine"],
  agent: ["contract", "common", "engine"],
  cli: ["contract", "common"],
  console: ["contract"],
};

/** Libraries that are wrapped in one place, and where that is. */
const wrapped = {
  commander: "^packages/(cli/src/|(agent|master)/src/main\\.ts|master/src/backup/commands\\.ts)",
  dockerode: "^packages/engine/src/docker/",
  kafkajs: "^packages/master/src/bus/",
  pino: "^packages/common/src/logging/",
  typeorm: "^packages/master/src/store/",
};

/** The rooms of the master, and which of the others each may look into. Nobody looks into a room above. */
const rooms = {
  model: [],
  decide: ["model"],
  store: ["model", "decide"],
  links: ["model", "store"],
  convergence: ["model", "decide", "store", "links"],
  hosts: ["model", "decide", "store", "links"],
  topologies: ["model", "decide", "store"],
  bus: ["model", "store"],
  changes: ["model", "decide", "store", "links", "convergence", "topologies"],
  access: ["model", "store"],
  webhooks: ["model", "store"],
  backup: ["model", "store", "links", "hosts"],
  rpc: ["model", "decide", "store", "links", "convergence", "hosts", "changes", "access", "topologies", "bus", "webhooks"],
};

const generated = "^packages/contract/src/gen/";
const tests = "\\.test(\\.support)?\\.ts$";
const either = (names) => `(${names.join("|")})`;

const packageRules = Object.entries(mayImport).map(([name, others]) => ({
  name: `${name}-imports-${others.length > 0 ? `only-${others.join("-and-")}` : "no-other-package"}`,
  severity: "error",
  from: { path: `^packages/${name}/` },
  to: { path: "^(packages|test|bench)/", pathNot: `^packages/${either([name, ...others])}/` },
}));

const wrapperRules = Object.entries(wrapped).map(([library, home]) => ({
  name: `${library}-only-in-its-wrapper`,
  comment: `import our own wrapper instead; it lives in ${home.replace("^", "")}`,
  severity: "error",
  from: { path: "^packages/", pathNot: home },
  to: { path: `(^|/)node_modules/(@types/)?${library}/` },
}));

const roomRules = Object.entries(rooms).map(([room, others]) => ({
  name: `master-${room}-looks-down`,
  comment: `${room} may import ${["itself", ...others].join(", ")}; move the code, or let this room declare what it needs`,
  severity: "error",
  from: { path: `^packages/master/src/${room}/` },
  to: { path: "^packages/master/src/[^/]+/", pathNot: `^packages/master/src/${either([room, ...others])}/` },
}));

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    ...packageRules,
    ...wrapperRules,
    ...roomRules,
    {
      name: "master-decisions-are-pure",
      comment: "a decision is a function of a situation: no database, no network, no files, no clock of its own",
      severity: "error",
      from: { path: "^packages/master/src/(model|decide)/", pathNot: tests },
      to: {
        path: [
          "^(fs|net|http|http2|https|tls|dgram|timers)(/|$)",
          "^packages/common/src/rpc/",
          "(^|/)node_modules/(typeorm|pg|@connectrpc)/",
        ],
      },
    },
    {
      name: "transactions-are-opaque",
      comment: "what is inside a transaction is the store's affair: give the store a function for it",
      severity: "error",
      from: { path: "^packages/master/src/", pathNot: "^packages/master/src/store/" },
      to: { path: "^packages/master/src/store/(tables|transaction|write|conditions|codec)\\.ts$" },
    },
    {
      name: "known-packages",
      comment: "name the new package in mayImport, in .dependency-cruiser.cjs",
      severity: "error",
      from: { path: "^packages/", pathNot: `^packages/${either(Object.keys(mayImport))}/` },
      to: {},
    },
    {
      name: "resolved",
      comment: "an import that leads nowhere would escape every other rule",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "no-cycles",
      comment: "a cycle cannot be understood or tested in parts; let one side declare what it needs",
      severity: "error",
      from: { pathNot: generated },
      to: { circular: true },
    },
    {
      name: "main-is-not-imported",
      comment: "main.ts wires a program together; move what others need out of it",
      severity: "error",
      from: {},
      to: { path: "^packages/[^/]+/src/main\\.ts$" },
    },
    {
      name: "no-tests-in-products",
      comment: "only test code imports test code",
      severity: "error",
      from: { path: "^packages/", pathNot: tests },
      to: { path: `${tests}|(^|/)node_modules/(vitest|vite)/` },
    },
    {
      name: "reached-by-a-program",
      comment: "no main.ts leads here: use it or delete it",
      severity: "error",
      from: { path: "^packages/[^/]+/src/main\\.ts$" },
      to: { path: "^packages/[^/]+/src/", pathNot: [tests, generated, "/main\\.ts$"], reachable: false },
    },
    {
      name: "processes-only-in-their-wrappers",
      comment: "child processes are started in one place, which hears what keeps them from starting",
      severity: "error",
      from: { path: "^packages/", pathNot: ["^packages/common/src/runtime/start-program\\.ts$", tests] },
      to: { path: "^child_process$", dependencyTypes: ["core"] },
    },
    {
      name: "leaves-of-common",
      comment: "errors, runtime, config and logging know no transport plumbing",
      severity: "error",
      from: { path: "^packages/common/src/(errors|runtime|config|logging)/" },
      to: { path: "^packages/common/src/rpc/" },
    },
    {
      name: "browser-safe-contract",
      comment: "a console imports the contract: nothing of Node.js",
      severity: "error",
      from: { path: "^packages/contract/src/", pathNot: tests },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "pure-texts",
      comment: "texts are functions of messages of the contract: a console uses them as they are",
      severity: "error",
      from: { path: "^packages/cli/src/text/", pathNot: tests },
      to: { pathNot: "^packages/(cli/src/text|contract/src)/|(^|/)node_modules/@bufbuild/protobuf/" },
    },
    {
      name: "pure-decisions",
      comment: "diagnoses, plans and renderings are functions of their arguments: no files, no network, no engine",
      severity: "error",
      from: {
        path: "^packages/engine/src/(diagnose|plan|policy|render)/",
        pathNot: `${tests}|^packages/engine/src/policy/host-rules\\.ts$`,
      },
      to: {
        path: [
          "^(fs|net|http|http2|https|tls|dgram|timers)(/|$)",
          "^packages/engine/src/(docker|execute|host|observe)/",
          "^packages/engine/src/policy/host-rules\\.ts$",
        ],
        pathNot: "^packages/engine/src/observe/(observed|host-access|lan|traits)\\.ts$",
      },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    doNotFollow: { path: "(^|/)node_modules/" },
    exclude: { path: "(^|/)(dist|build)/" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["source", "types", "import", "node", "default"],
      extensions: [".ts", ".js", ".mjs", ".cjs", ".d.ts", ".json"],
    },
  },
};
