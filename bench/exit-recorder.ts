import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { tableText } from "./support/table.ts";

/**
 * What the recorder of an exit status costs (docs/decisions/0012-exit-status.md): memory of several at once, each waiting for a
 * program, by /proc/<pid>/smaps_rollup. `npm run bench:exit-recorder -- [--count N] [--json]`; Linux only.
 */
const { values } = parseArgs({
  options: { count: { type: "string", default: "4" }, json: { type: "boolean", default: false } },
});

const RECORDER = join(import.meta.dirname, "../dist/exit-recorder.mjs");
/** A recorder that has started its program has settled after this long. */
const SETTLE_MS = 1_500;
const KIB_PER_MB = 1_000_000 / 1024;

if (!existsSync(RECORDER)) throw new Error(`${RECORDER} is missing: npm run build`);
const folder = mkdtempSync(join(tmpdir(), "flotilla-bench-"));
const recorders = Array.from({ length: Number(values.count) }, (_, i) => start(i));
try {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const rows = recorders.map(({ pid }) => memoryOf(pid ?? 0));
  if (values.json) console.log(JSON.stringify({ node: process.version, recorders: rows }));
  else
    console.log(
      tableText([
        ["recorder", "resident MB", "private MB"],
        ...rows.map((r, i) => [`${i + 1}`, r.residentMb.toFixed(1), r.privateMb.toFixed(1)]),
      ]),
    );
} finally {
  for (const { pid } of recorders) if (pid !== undefined) process.kill(-pid, "SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}

function start(index: number): ChildProcess {
  const args = [RECORDER, join(folder, `exit-${index}.json`), "sleep", "60"];
  return spawn(process.execPath, args, { detached: true, stdio: "ignore" });
}

function memoryOf(pid: number): { readonly residentMb: number; readonly privateMb: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
  return {
    residentMb: kib("Rss") / KIB_PER_MB,
    privateMb: (kib("Private_Clean") + kib("Private_Dirty")) / KIB_PER_MB,
  };
}
