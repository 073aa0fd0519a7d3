import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { BlockDecoder, startsOfBlocks } from "../../delta/decode.ts";
import { sameBytes } from "../../delta/digest.ts";
import type { DeltaManifest, FileIdentity } from "../../delta/envelope.ts";
import { corrupt, wrongBase } from "../../delta/errors.ts";
import { identityOf } from "../../delta/identity.ts";
import { inMemory, type RandomAccess } from "../../delta/random-access.ts";
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
}

/** The blocks before `next` are on disk. */
export type BlockReport = (next: number) => void;

/**
 * Makes the target beside its base. After a cut the same call with the last reported block goes on there. Memory: one
 * block, its part of the base and the map, whatever the file's size. Throws `delta-wrong-base` before the first write,
 * `delta-corrupt` when a block or the whole is not what was signed.
 */
export async function applyDelta(
  options: ApplyOptions,
  payload: PayloadSource,
  onBlock: BlockReport,
): Promise<void> {
  const { manifest, basePath, targetPath, firstBlock } = options;
  using base = basePath === undefined ? undefined : new FileAccess(basePath);
  checkBase(manifest, base);
  const map = manifest.map && (await payload.read(0, manifest.map.length));
  const decoder = new BlockDecoder(
    { manifest, base: base ?? inMemory(new Uint8Array(0)), map },
    { compressor: nodeCompressor, digests: nodeDigests },
  );
  const starts = startsOfBlocks(manifest);
  const fd = openSync(targetPath, firstBlock === 0 ? "w" : "r+", 0o600);
  try {
    let offset = manifest.map?.length ?? 0;
    for (const [index, block] of manifest.blocks.entries()) {
      const at = offset;
      offset += block.payloadLength;
      if (index < firstBlock) continue;
      writeAll(
        fd,
        decoder.decode(index, await payload.read(at, block.payloadLength)),
        starts[index] ?? 0,
      );
      fsyncSync(fd);
      onBlock(index + 1);
      // Whoever shares the event loop gets a turn after each block.
      await setImmediate();
    }
    ftruncateSync(fd, manifest.target.size);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  using made = new FileAccess(targetPath);
  if (!isFile(made, manifest.target)) throw corrupt("the target is not what was signed");
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

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  let done = 0;
  while (done < bytes.length)
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}
