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
  commander: "^packages/(cli/src/|(agent|master)/src/main\\.ts)",
  dockerode: "^packages/engine/src/docker/",
  execa: "^packages/(engine/src/docker|master/src/store)/",
  kafkajs: "^packages/master/src/events/",
  pino: "^packages/common/src/logging/",
  typeorm: "^packages/master/src/store/",
};

const generated = "^packages/contract/src/gen/";
const tests = "\\.test\\.ts$";
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

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    ...packageRules,
    ...wrapperRules,
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
      comment: "test code is imported by test code alone",
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
      comment: "child processes are started where execa is wrapped, with bounded output and time",
      severity: "error",
      from: { path: "^packages/", pathNot: wrapped.execa },
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
      name: "pure-decisions",
      comment: "diagnoses, plans and renderings are functions of their arguments: no files, no network, no engine",
      severity: "error",
      from: { path: "^packages/engine/src/(diagnose|plan|render)/", pathNot: tests },
      to: {
        path: "^(fs|net|http|http2|https|tls|dgram|timers)(/|$)|^packages/engine/src/(docker|execute|host|observe)/",
        pathNot: "^packages/engine/src/observe/(observed|host-access)\\.ts$",
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
