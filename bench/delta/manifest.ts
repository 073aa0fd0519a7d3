import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";

/** Where one file of a pair comes from. */
interface FileSource {
  readonly npm?: string;
  readonly path?: string;
  readonly file?: string;
  readonly overlay?: { readonly file: string; readonly offset: number; readonly onto: "old" };
  readonly size: number;
  readonly sha256: string;
}

export interface Pair {
  readonly id: string;
  readonly kind: string;
  readonly dtype?: string;
  readonly old: FileSource;
  readonly new: FileSource;
  readonly layout?: { readonly npm?: string; readonly file?: string; readonly path?: string };
  /** How both files are made from those of the pair. */
  readonly derive?: "bf16";
}

export interface Manifest {
  readonly pairs: readonly Pair[];
  readonly folder: string;
}

/** Reads a manifest; pairs that `derive` names are added. */
export function readManifestFile(path: string): Manifest {
  const { pairs, derive } = JSON.parse(readFileSync(path, "utf8")) as {
    pairs: readonly Pair[];
    derive?: { bf16?: string };
  };
  const derived = [...(derive?.bf16 ?? "").matchAll(/\b(\S+)-bf16\b/g)].flatMap(([, id]) => {
    const pair = pairs.find((p) => p.id === id);
    return pair === undefined || pairs.some((p) => p.id === `${id}-bf16`)
      ? []
      : [{ ...pair, id: `${id}-bf16`, dtype: "bf16", derive: "bf16" as const }];
  });
  return { pairs: [...pairs, ...derived], folder: dirname(resolve(path)) };
}

/** The files of a pair, in memory; undefined with the reason when the machine has no way to them. */
export interface Files {
  readonly old: Buffer;
  readonly new: Buffer;
  /** Text of the tfjs model.json that describes them, beside each of them or named by the pair. */
  readonly oldModel: string | undefined;
  readonly newModel: string | undefined;
}

export async function filesOf(pair: Pair, folder: string, cache: string): Promise<Files | string> {
  const old = await bytesOf(pair.old, { folder, cache });
  if (typeof old === "string") return old;
  const fresh = await bytesOf(pair.new, { folder, cache, old });
  if (typeof fresh === "string") return fresh;
  const named = pair.layout && (await textOf(pair.layout, folder, cache));
  const files = { old, new: fresh };
  return {
    ...(pair.derive === "bf16" ? { old: bf16(old), new: bf16(fresh) } : files),
    oldModel: named ?? (await siblingOf(pair.old, cache)),
    newModel: named ?? (await siblingOf(pair.new, cache)),
  };
}

async function bytesOf(
  source: FileSource,
  from: { folder: string; cache: string; old?: Buffer },
): Promise<Buffer | string> {
  let bytes: Buffer;
  if (source.overlay !== undefined && from.old !== undefined) {
    bytes = Buffer.from(from.old);
    readFileSync(join(from.folder, source.overlay.file)).copy(bytes, source.overlay.offset);
  } else if (source.file !== undefined) bytes = readFileSync(join(from.folder, source.file));
  else if (source.npm !== undefined && source.path !== undefined)
    bytes = readFileSync(join(await packageOf(source.npm, from.cache), source.path));
  else return "the manifest names no file that can be fetched";
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  if (bytes.length !== source.size || sha256 !== source.sha256)
    return `a file is not the one of the manifest (${bytes.length} bytes, SHA-256 ${sha256})`;
  return bytes;
}

async function textOf(
  layout: { readonly npm?: string; readonly file?: string; readonly path?: string },
  folder: string,
  cache: string,
): Promise<string | undefined> {
  if (layout.file !== undefined) return readFileSync(join(folder, layout.file), "utf8");
  if (layout.npm === undefined || layout.path === undefined) return undefined;
  return readFileSync(join(await packageOf(layout.npm, cache), layout.path), "utf8");
}

/** A model.json beside a weight file of the same name. */
async function siblingOf(source: FileSource, cache: string): Promise<string | undefined> {
  if (source.npm === undefined || source.path === undefined || !source.path.endsWith(".bin"))
    return undefined;
  const path = join(await packageOf(source.npm, cache), source.path.replace(/\.bin$/, ".json"));
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

/** Fetches a package with npm, once; the folder of its content. */
async function packageOf(name: string, cache: string): Promise<string> {
  const folder = join(cache, name.replaceAll("/", "+"));
  const content = join(folder, "package");
  if (existsSync(content)) return content;
  const work = `${folder}.part`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const run = promisify(execFile);
  await run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", work, name]);
  const archive = readdirSync(work).find((file) => file.endsWith(".tgz"));
  if (archive === undefined) throw new Error(`npm pack left no archive of ${name}`);
  await run("tar", ["-xzf", join(work, archive), "-C", work]);
  rmSync(join(work, archive));
  rmSync(folder, { recursive: true, force: true });
  renameSync(work, folder);
  return content;
}

/** High 16 bits of each float32, rounded to nearest even. */
function bf16(bytes: Buffer): Buffer {
  const out = Buffer.alloc(bytes.length / 2);
  for (let i = 0; i < out.length; i += 2) {
    const bits = bytes.readUInt32LE(2 * i);
    out.writeUInt16LE(((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff, i);
  }
  return out;
}

/** Writes a pair's files where programs can read them. */
export function lay(files: Files, folder: string): { old: string; new: string } {
  mkdirSync(folder, { recursive: true });
  const paths = { old: join(folder, "old"), new: join(folder, "new") };
  writeFileSync(paths.old, files.old);
  writeFileSync(paths.new, files.new);
  return paths;
}
