import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The repository's folder. */
export const ROOT: string = join(import.meta.dirname, "..", "..", "..");

/** What is made, fetched or not ours. */
const NOT_OURS: ReadonlySet<string> = new Set([
  ".cache",
  ".git",
  "coverage",
  "dist",
  "node_modules",
]);

/** Every file of the tree as a path from its root, sorted. */
export function filesOfTree(): readonly string[] {
  return filesUnder("").toSorted();
}

function filesUnder(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    if (NOT_OURS.has(entry.name)) return [];
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return filesUnder(path);
    return entry.isFile() ? [path] : [];
  });
}

/** Sources of one package without its tests. */
export function sourcesOf(name: string): readonly string[] {
  return filesOfTree().filter(
    (path) =>
      path.startsWith(`packages/${name}/src/`) &&
      path.endsWith(".ts") &&
      !path.endsWith(".test.ts"),
  );
}

/** Text of a file of the tree. */
export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** What a module of the tree exports. */
export async function exportsOf(path: string): Promise<Readonly<Record<string, unknown>>> {
  const module: Record<string, unknown> = await import(join(ROOT, path));
  return module;
}
