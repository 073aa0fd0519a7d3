import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";

/**
 * Bundles hub, agent and CLI into `dist/`: one ESM file a program, plus SQLite's native part. With Node beside them that is
 * the whole deployable. `--arch arm64` takes SQLite's prebuilt part for that architecture; nothing is compiled.
 */
const { values } = parseArgs({
  options: {
    arch: { type: "string", default: process.arch },
    out: { type: "string", default: "dist" },
    quiet: { type: "boolean", default: false },
  },
});

const root = join(import.meta.dirname, "..");
const out = resolve(root, values.out);

const PROGRAMS = {
  "flotilla-hub": "packages/hub/src/main/hub.ts",
  "artifact-server-worker": "packages/hub/src/main/artifact-server-worker.ts",
  "delta-worker": "packages/hub/src/main/delta-worker.ts",
  "flotilla-agent": "packages/edge-agent/src/main/agent.ts",
  "exit-recorder": "packages/edge-agent/src/main/exit-recorder.ts",
  "patch-worker": "packages/edge-agent/src/main/patch-worker.ts",
  flotilla: "packages/cli/src/main/flotilla.ts",
} as const;

/** CommonJS dependencies inside an ESM bundle ask for `require` and `__dirname`. */
const BANNER = [
  'import { createRequire as __createRequire } from "node:module";',
  'import { fileURLToPath as __fileURLToPath } from "node:url";',
  "const require = __createRequire(import.meta.url);",
  "const __filename = __fileURLToPath(import.meta.url);",
  'const __dirname = __fileURLToPath(new URL(".", import.meta.url));',
].join("\n");

// Everything in the folder goes: one that holds something else is a slip of the keyboard.
const strangers = existsSync(out) ? readdirSync(out).filter((name) => !isOurs(name)) : [];
if (strangers.length > 0) {
  console.error(
    `error: ${out} holds ${strangers[0]} and more that no build has made\ntry: --out an empty or a new folder`,
  );
  process.exit(2);
}
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: Object.fromEntries(Object.entries(PROGRAMS)),
  outdir: out,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  splitting: false,
  sourcemap: "linked",
  sourcesContent: false,
  legalComments: "linked",
  assetNames: "[name]",
  loader: { ".node": "copy" },
  alias: { "better-sqlite3": `better-sqlite3/linux-${values.arch}` },
  banner: { js: `#!/usr/bin/env node\n${BANNER}` },
  logLevel: "warning",
});
// The hub makes deltas without bsdiff where no compiler was: its native part is built for this machine, or not at all.
const bsdiff = join(root, "node_modules/bsdiff-node/build/Release/bsdiff.node");
if (values.arch === process.arch && existsSync(bsdiff))
  copyFileSync(bsdiff, join(out, "bsdiff.node"));
for (const name of Object.keys(PROGRAMS)) {
  const file = join(out, `${name}.mjs`);
  chmodSync(file, 0o755);
  if (!values.quiet)
    console.log(`${values.out}/${name}.mjs  ${Math.round(statSync(file).size / 1024)} kB`);
}

function isOurs(name: string): boolean {
  return name.endsWith(".node") || Object.keys(PROGRAMS).some((p) => name.startsWith(`${p}.mjs`));
}
