// Who may import whom (ARCHITECTURE.md, "Borders"). A rule here is moved only together with the design, never to let one file through.
const layer = (p, l) => `^packages/${p}/src/${l}/`;
const sides = "(hub|edge-agent)";
const pureShared = "^packages/shared/src/(kernel|model|scheduling|delta|trust)/";
const pureSharedAndWire = "^packages/shared/src/(kernel|model|protocol|scheduling|delta|trust)/";
const tests = "(\\.test\\.ts$|/test/)";
const typebox = "^node_modules/typebox/";

module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    { name: "no-unresolved", severity: "error", from: {}, to: { couldNotResolve: true } },
    { name: "domain-is-pure", severity: "error", from: { path: layer(sides, "domain"), pathNot: tests }, to: { pathNot: [layer(sides, "domain"), pureShared, typebox] } },
    { name: "app-imports-no-adapter-no-io", severity: "error", from: { path: layer(sides, "app"), pathNot: tests }, to: { pathNot: [layer(sides, "(domain|app)"), pureSharedAndWire, typebox] } },
    { name: "adapters-import-no-main", severity: "error", from: { path: layer(sides, "adapters") }, to: { path: layer(sides, "main") } },
    { name: "adapters-see-only-ports-of-app", severity: "error", from: { path: layer(sides, "adapters"), pathNot: tests }, to: { path: layer(sides, "app"), pathNot: "/ports\\.ts$" } },
    { name: "hub-and-agent-meet-only-in-shared", severity: "error", from: { path: "^packages/(hub|edge-agent|cli)/" }, to: { path: "^packages/(hub|edge-agent|cli)/", pathNot: "^packages/$1/" } },
    { name: "shared-depends-on-no-package", severity: "error", from: { path: "^packages/shared/" }, to: { path: "^packages/(hub|edge-agent|cli)/" } },
    { name: "pure-shared-is-pure", severity: "error", from: { path: pureSharedAndWire, pathNot: tests }, to: { pathNot: [pureSharedAndWire, typebox] } },
    { name: "no-testing-code-in-production", severity: "error", from: { path: "^packages/", pathNot: ["\\.test\\.ts$", "/test/", "/testing/"] }, to: { path: "^packages/shared/src/testing/" } },
    { name: "nothing-imports-the-simulator", severity: "error", from: { path: "^(packages|scripts)/" }, to: { path: "^test/" } },
    { name: "simulator-uses-no-adapters", severity: "error", from: { path: "^test/simulator/" }, to: { path: layer(sides, "(adapters|main)") } },
    { name: "tuf-models-only-behind-their-wrapper", severity: "error", from: { path: "^packages/", pathNot: "^packages/shared/src/platform/tuf\\.ts$" }, to: { path: "^node_modules/@tufjs/" } },
    { name: "mqtt-only-in-its-adapter", severity: "error", from: { path: "^packages/edge-agent/src/", pathNot: "^packages/edge-agent/src/adapters/mqtt/" }, to: { path: "^node_modules/mqtt/" } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "types", "node", "default"],
      extensions: [".ts", ".js", ".d.ts"],
    },
  },
};
