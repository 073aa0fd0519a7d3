import { dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import { BlockDecoder, startsOfBlocks } from "../../delta/decode.ts";
import { sameBytes } from "../../delta/digest.ts";
import type { DeltaManifest, FileIdentity } from "../../delta/envelope.ts";
import { corrupt, wrongBase } from "../../delta/errors.ts";
import { identityOf } from "../../delta/identity.ts";
import { inMemory, type RandomAccess } from "../../delta/random-access.ts";
import { type FileSystem, nodeFiles, writeAll } from "../file-system.ts";
import { FileAccess } from "./file-access.ts";
import { nodeCompressor, nodeDigests } from "./node-compressor.ts";

/** Where payload bytes come from: a file, or a download that may answer block by block, in order. */
export interface PayloadSource {
  read(offset: number, length: number): Promise<Uint8Array>;
}

export interface ApplyOptions {
  readonly manifest: DeltaManifest;
  /** Path of the base; its size and SHA-256 must be those of the manifest. Undefined for a full file. */
  readonly basePath: string | undefined;
  /** Written in place, block by block; complete and verified when `applyDelta` returns. */
  readonly targetPath: string;
  /** The first block that is still missing, as the last call reported it; 0 begins anew. */
  readonly firstBlock: number;
  /** Default: those of this machine. */
  readonly files?: FileSystem;
  /** Asked before each block; what it throws ends the call. */
  readonly signal?: Pick<AbortSignal, "throwIfAborted">;
}

/** The blocks before `next` are on disk, and so is the file's name. */
export type BlockReport = (next: number) => void;

/**
 * Makes the target beside its base. After a cut the same call with the last reported block goes on there; when what lies there is
 * too short for that, it begins anew. Memory: one block, its part of the base and the map, whatever the file's size. Throws
 * `delta-wrong-base` before the first write, `delta-corrupt` when a block or the whole is not what was signed.
 */
export async function applyDelta(
  options: ApplyOptions,
  payload: PayloadSource,
  onBlock: BlockReport,
): Promise<void> {
  const { manifest, basePath, targetPath, files = nodeFiles } = options;
  using base = basePath === undefined ? undefined : new FileAccess(basePath, files);
  checkBase(manifest, base);
  const map = manifest.map && (await payload.read(0, manifest.map.length));
  const decoder = new BlockDecoder(
    { manifest, base: base ?? inMemory(new Uint8Array(0)), map },
    { compressor: nodeCompressor, digests: nodeDigests },
  );
  const starts = startsOfBlocks(manifest);
  const firstBlock = whereToBegin(options, files, starts);
  const fd = files.open(targetPath, firstBlock === 0 ? "replace" : "update");
  try {
    // A block that is reported must be found again, by its name too.
    files.syncFolder(dirname(targetPath));
    let offset = manifest.map?.length ?? 0;
    for (const [index, block] of manifest.blocks.entries()) {
      const at = offset;
      offset += block.payloadLength;
      if (index < firstBlock) continue;
      options.signal?.throwIfAborted();
      const bytes = decoder.decode(index, await payload.read(at, block.payloadLength));
      writeAll(files, fd, bytes, starts[index] ?? 0);
      files.fsync(fd);
      onBlock(index + 1);
      // Whoever shares the event loop gets a turn after each block.
      await setImmediate();
    }
    files.truncate(fd, manifest.target.size);
    files.fsync(fd);
  } finally {
    files.close(fd);
  }
  using made = new FileAccess(targetPath, files);
  if (!isFile(made, manifest.target)) throw corrupt("the target is not what was signed");
}

/** Records may say more than the disk has kept: after another disk was put in, or the file was removed. */
function whereToBegin(
  { targetPath, firstBlock, manifest }: ApplyOptions,
  files: FileSystem,
  starts: readonly number[],
): number {
  if (firstBlock === 0) return 0;
  const found = files.lookUp(targetPath);
  const wanted = starts[firstBlock] ?? manifest.target.size;
  return found?.kind === "file" && found.sizeBytes >= wanted ? firstBlock : 0;
}

function checkBase(manifest: DeltaManifest, base: RandomAccess | undefined): void {
  if (manifest.base === undefined) return;
  if (base !== undefined && base.size === manifest.base.size && isFile(base, manifest.base)) return;
  throw wrongBase(manifest.base.size, base?.size);
}

function isFile(file: RandomAccess, identity: FileIdentity): boolean {
  const found = identityOf(file, nodeDigests);
  return found.size === identity.size && sameBytes(found.sha256, identity.sha256);
}
