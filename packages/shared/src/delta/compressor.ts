/** General compressors that the codecs build on. The pure part knows only this; Node's zlib stands behind it. */
export interface Compressor {
  /** Zstandard frame without checksum and content size; with a dictionary, matches reach into it (a "patch from"). */
  zstd(data: Uint8Array, options?: { readonly dictionary?: Uint8Array }): Uint8Array;
  brotli(data: Uint8Array, kind: "text" | "generic"): Uint8Array;
  /** Throws `delta-corrupt` when the frame is damaged or holds anything but `length` bytes; never makes more than that. */
  unzstd(
    frame: Uint8Array,
    length: number,
    options?: { readonly dictionary?: Uint8Array },
  ): Uint8Array;
  unbrotli(stream: Uint8Array, length: number): Uint8Array;
}
