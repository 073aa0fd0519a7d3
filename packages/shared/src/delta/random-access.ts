/** A file that is read piece by piece. Short reads do not exist: what is missing throws. */
export interface RandomAccess {
  readonly size: number;
  /** With `into`, which must be long enough, the bytes may lie in its begin: no memory is taken for them. */
  read(offset: number, length: number, into?: Uint8Array): Uint8Array;
}

/** Bytes in memory, read as a file. */
export function inMemory(bytes: Uint8Array): RandomAccess {
  return {
    size: bytes.length,
    read(offset: number, length: number): Uint8Array {
      if (offset < 0 || length < 0 || offset + length > bytes.length)
        throw new RangeError(`${length} bytes at ${offset} of ${bytes.length}`);
      return bytes.subarray(offset, offset + length);
    },
  };
}
