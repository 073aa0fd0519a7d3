/** Bytes of the target in one block: what a decoder holds of it in memory. */
export const BLOCK_BYTES = 4 * 1024 * 1024;
/** Most bytes of the target in one block that a decoder takes. */
export const MAX_BLOCK_BYTES = 8 * 1024 * 1024;
/** Most bytes of the base that one block may ask for. */
export const MAX_BLOCK_BASE_BYTES = 16 * 1024 * 1024;
/** Most stretches of the base that one block may ask for. */
export const MAX_BLOCK_RANGES = 4096;
/** Most blocks of a delta: 64 GiB in blocks of 4 MiB. */
export const MAX_BLOCKS = 16_384;
/** Largest target and base, bytes. */
export const MAX_FILE_BYTES = 64 * 1024 ** 3;
/** Most bytes of the copy map that blocks of programs share, coded and decoded. */
export const MAX_MAP_BYTES = 8 * 1024 * 1024;
/** Most segments in a block of weights. */
export const MAX_SEGMENTS = 65_536;
/** Most bytes of an unpacked control stream of a bsdiff block: 350,000 steps at most, in practice a tenth of that. */
export const MAX_CONTROL_BYTES = 1024 * 1024;
