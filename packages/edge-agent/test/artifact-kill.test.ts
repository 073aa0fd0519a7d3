import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { nodeFiles } from "@flotilla/shared/platform/file-system";
import { build } from "esbuild";
import { afterEach, expect, test } from "vitest";
import { PlainAgent, storeIn } from "./support/crash-node.ts";

const SOURCE = join(import.meta.dirname, "support", "artifact-kill-child.ts");
/** Within the repository, so that the bundle finds SQLite. */
const CACHE = join(import.meta.dirname, "..", "..", "..", ".cache");
const run = promisify(execFile);
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** The child in one file: it is started many times, and most of its time would go into reading its sources. */
async function bundledChild(): Promise<string> {
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, "artifact-kill-"));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  const outfile = join(folder, "child.mjs");
  await build({
    entryPoints: [SOURCE],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["better-sqlite3"],
    logLevel: "warning",
  });
  return outfile;
}

/** A node that has two versions and is to get a third, and to go back from it. */
async function newNode(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "artifact-kill-"));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  mkdirSync(join(directory, "artifacts"));
  await onNode(directory, (agent) => agent.live(2));
  return directory;
}

async function onNode<T>(directory: string, work: (agent: PlainAgent) => Promise<T>): Promise<T> {
  const store = storeIn(directory);
  try {
    return await work(
      new PlainAgent({ files: nodeFiles, root: join(directory, "artifacts"), store }),
    );
  } finally {
    store.close();
  }
}

/** Runs the child until operation `at`; the names of its operations when it was not killed. */
async function childUntil(
  child: string,
  directory: string,
  at: number,
): Promise<readonly string[] | undefined> {
  try {
    const { stdout } = await run(process.execPath, [child, directory, String(at)]);
    return JSON.parse(stdout);
  } catch (error) {
    if (error instanceof Error && "signal" in error && error.signal === "SIGKILL") return undefined;
    throw error;
  }
}

test("a process killed before any operation of prepare, switch, commit and roll back leaves a whole version, and the next one completes", async () => {
  const child = await bundledChild();
  const names = (await childUntil(child, await newNode(), -1)) ?? [];
  const first = names.indexOf("mkdir");
  const points = [...names.keys()].slice(first);
  expect(new Set(names.slice(first))).toEqual(
    new Set("mkdir link open write fsync syncFolder rename symlink unlink rmdir commit".split(" ")),
  );
  const wrong: string[] = [];
  const tryOne = async (at: number): Promise<void> => {
    const directory = await newNode();
    expect(await childUntil(child, directory, at)).toBeUndefined();
    await onNode(directory, async (agent) => {
      const afterDeath = agent.damage();
      await agent.live();
      wrong.push(...[afterDeath, agent.damage()].flatMap((w) => w ?? []));
      if (!agent.isFinished) wrong.push(`${at} ${names[at]}: the update does not complete`);
    });
  };
  const waiting = points.values();
  const worker = async (): Promise<void> => {
    for (const at of waiting) await tryOne(at);
  };
  await Promise.all([worker(), worker()]);
  expect(wrong).toEqual([]);
}, 180_000);
