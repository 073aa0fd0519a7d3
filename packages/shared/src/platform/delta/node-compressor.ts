import { createHash } from "node:crypto";
import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import type { Compressor } from "../../delta/compressor.ts";
import type { Digests } from "../../delta/digest.ts";
import { corrupt } from "../../delta/errors.ts";
import { messageOf } from "../../kernel/errors.ts";

/** Effort of zstd by size: the highest level where it costs nothing, a lower one where it costs seconds. */
const SMALL_BYTES = 256 * 1024;
const SMALL_LEVEL = 22;
const LARGE_LEVEL = 19;
/** 2^24 covers a block and all that it may ask of the base. */
const MAX_WINDOW_LOG = 25;

/** The decoder holds a window: no larger than what comes out. */
const BROTLI_WINDOW_LOG = 22;

/** Node's zlib as the port of the codecs. Every output is bounded before it is made. */
export const nodeCompressor: Compressor = {
  zstd(data, options) {
    const total = data.length + (options?.dictionary?.length ?? 0);
    return zstdCompressSync(data, {
      params: {
        [constants.ZSTD_c_compressionLevel]: total <= SMALL_BYTES ? SMALL_LEVEL : LARGE_LEVEL,
        [constants.ZSTD_c_windowLog]: Math.min(
          MAX_WINDOW_LOG,
          Math.max(10, Math.ceil(Math.log2(total + 1))),
        ),
        [constants.ZSTD_c_checksumFlag]: 0,
        [constants.ZSTD_c_contentSizeFlag]: 0,
        [constants.ZSTD_c_dictIDFlag]: 0,
        ...(options?.dictionary ? { [constants.ZSTD_c_enableLongDistanceMatching]: 0 } : {}),
      },
      ...(options?.dictionary ? { dictionary: options.dictionary } : {}),
    });
  },
  brotli(data, kind) {
    return brotliCompressSync(data, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: 11,
        [constants.BROTLI_PARAM_LGWIN]: Math.min(
          BROTLI_WINDOW_LOG,
          Math.max(constants.BROTLI_MIN_WINDOW_BITS, Math.ceil(Math.log2(data.length + 17))),
        ),
        [constants.BROTLI_PARAM_SIZE_HINT]: data.length,
        [constants.BROTLI_PARAM_MODE]:
          kind === "text" ? constants.BROTLI_MODE_TEXT : constants.BROTLI_MODE_GENERIC,
      },
    });
  },
  unzstd(frame, length, options) {
    return exactly(length, () =>
      zstdDecompressSync(frame, {
        ...outputOf(length),
        params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG },
        ...(options?.dictionary ? { dictionary: options.dictionary } : {}),
      }),
    );
  },
  unbrotli(stream, length) {
    return exactly(length, () => brotliDecompressSync(stream, outputOf(length)));
  },
};

/** Node's SHA-256 as the port of the codecs. */
export const nodeDigests: Digests = {
  sha256: (bytes) => createHash("sha256").update(bytes).digest(),
  begin() {
    const hash = createHash("sha256");
    return {
      update: (bytes) => void hash.update(bytes),
      finish: () => hash.digest(),
    };
  },
};

/** Least chunk that zlib takes. */
const LEAST_CHUNK_BYTES = 64;

/** No byte more than told is made, and all of them in one piece: else zlib holds them twice. */
function outputOf(length: number): { maxOutputLength: number; chunkSize: number } {
  return { maxOutputLength: length + 1, chunkSize: Math.max(LEAST_CHUNK_BYTES, length + 1) };
}

function exactly(length: number, decompress: () => Uint8Array): Uint8Array {
  if (length === 0) return new Uint8Array(0);
  let bytes: Uint8Array;
  try {
    bytes = decompress();
  } catch (error) {
    throw corrupt(`compressed bytes: ${messageOf(error)}`);
  }
  if (bytes.length !== length) throw corrupt(`${bytes.length} bytes came out, not ${length}`);
  return bytes;
}
