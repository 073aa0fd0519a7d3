import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import bunzip from "seek-bzip";
import { sameBytes } from "../../delta/digest.ts";
import type { DiffAnswer, DiffQuestion } from "../../delta/encode-types.ts";
import type { CopyStep } from "../../delta/program/matcher.ts";
import { messageOf } from "../../kernel/errors.ts";
import { nodeDigests } from "./node-compressor.ts";

/** Base and target of one run, bytes: bsdiff holds seventeen times the base in memory. */
export const MAX_WINDOW_BYTES = 16 * 1024 * 1024;
/** A run that takes longer is given up: a window of noise takes about a minute. */
const TIMEOUT_MS = 180_000;
const MAGIC = "BSDIFF40";
const HEAD_BYTES = 32;
const CONTROL_BYTES = 24;
/** The package reads and writes files and can end its process: it runs in one of its own. */
const CHILD = `const [native, ...paths] = process.argv.slice(1); require(native).diffSync(...paths);`;

/**
 * bsdiff-node in a child process, as a source of copy steps. It trusts nothing that comes back: both files must be what
 * they were before, and the control stream must cover the target and stay inside the base. Its difference and extra
 * streams follow from the steps and are not unpacked. It says once, to `onMissing`, that it is not there or does not work.
 */
export class NativeBsdiff {
  readonly #native: string | undefined;
  readonly #onMissing: (why: string) => void;
  #said = false;

  constructor(onMissing: (why: string) => void, native = nativePart()) {
    this.#native = native;
    this.#onMissing = onMissing;
  }

  /** What bsdiff finds; undefined when it is not there or failed. */
  async answer({ base, target }: DiffQuestion): Promise<DiffAnswer> {
    if (base.length === 0 || target.length === 0) return undefined;
    if (Math.max(base.length, target.length) > MAX_WINDOW_BYTES) return undefined;
    if (this.#native === undefined) return this.#missing("bsdiff-node was not compiled here");
    const folder = mkdtempSync(join(tmpdir(), "flotilla-bsdiff-"));
    try {
      return stepsOf(await patchOf(this.#native, folder, { base, target }), {
        base: base.length,
        target: target.length,
      });
    } catch (error) {
      return this.#missing(messageOf(error));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  #missing(why: string): undefined {
    if (!this.#said) this.#onMissing(why);
    this.#said = true;
    return undefined;
  }
}

/** Beside a bundled program lies the compiled part alone; in a checkout the package is asked. */
function nativePart(): string | undefined {
  const beside = fileURLToPath(new URL("bsdiff.node", import.meta.url));
  if (existsSync(beside)) return beside;
  try {
    const found = createRequire(import.meta.url).resolve("bsdiff-node/build/Release/bsdiff.node");
    return existsSync(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

async function patchOf(native: string, folder: string, files: DiffQuestion): Promise<Buffer> {
  const paths = { base: join(folder, "base"), target: join(folder, "target") };
  const patch = join(folder, "patch");
  writeFileSync(paths.base, files.base);
  writeFileSync(paths.target, files.target);
  const args = ["-e", CHILD, native, paths.base, paths.target, patch];
  await promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS, env: {} });
  for (const name of ["base", "target"] as const) {
    const after = nodeDigests.sha256(readFileSync(paths[name]));
    if (!sameBytes(after, nodeDigests.sha256(files[name])))
      throw new Error(`bsdiff altered the ${name}`);
  }
  return readFileSync(patch);
}

/** Reads the control stream of a bsdiff patch. Throws when it does not make `sizes.target` bytes out of what the base has. */
export function stepsOf(
  patch: Buffer,
  sizes: { readonly base: number; readonly target: number },
): readonly CopyStep[] {
  if (patch.length < HEAD_BYTES || patch.toString("latin1", 0, 8) !== MAGIC)
    throw new Error("bsdiff left no patch");
  const controlBytes = numberAt(patch, 8);
  if (numberAt(patch, 24) !== sizes.target) throw new Error("the patch makes another size");
  if (controlBytes < 0 || HEAD_BYTES + controlBytes > patch.length)
    throw new Error("the patch's control stream is cut off");
  const control = unpacked(patch.subarray(HEAD_BYTES, HEAD_BYTES + controlBytes), sizes.target);
  const steps: CopyStep[] = [];
  let [from, made] = [0, 0];
  for (let at = 0; at + CONTROL_BYTES <= control.length; at += CONTROL_BYTES) {
    const [copied, added] = [numberAt(control, at), numberAt(control, at + 8)];
    made += copied + added;
    if (copied < 0 || added < 0 || made > sizes.target)
      throw new Error("the patch goes beyond the target");
    if (copied > 0 && (from < 0 || from + copied > sizes.base))
      throw new Error("the patch reads outside the base");
    steps.push({ from: copied === 0 ? 0 : from, copied, added });
    from += copied + numberAt(control, at + 16);
  }
  if (made !== sizes.target) throw new Error("the patch does not cover the target");
  return steps;
}

/** A whole number of eight bytes, the sign in the highest bit. */
function numberAt(bytes: Buffer, at: number): number {
  const low = bytes.readUInt32LE(at);
  const high = bytes.readUInt32LE(at + 4);
  const size = (high & 0x7fffffff) * 4_294_967_296 + low;
  return high >= 0x80000000 ? -size : size;
}

/** A step makes at least one byte, so a control stream has a known length at most. */
function unpacked(bytes: Uint8Array, targetBytes: number): Buffer {
  const limit = (targetBytes + 1) * CONTROL_BYTES;
  let out = Buffer.alloc(65_536);
  let length = 0;
  bunzip.decode(bytes, {
    writeByte(byte) {
      if (length === limit) throw new Error("the patch's control stream is too long");
      if (length === out.length) out = Buffer.concat([out, Buffer.alloc(out.length)]);
      out[length++] = byte;
    },
  });
  return out.subarray(0, length);
}
