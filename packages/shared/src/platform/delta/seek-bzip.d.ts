/** The part of seek-bzip that is used here; the package brings no types. */
declare module "seek-bzip" {
  const bunzip: {
    /** Unpacks a whole bzip2 stream byte by byte into `output`. Throws when it is damaged. */
    decode(input: Uint8Array, output: { writeByte(byte: number): void }): unknown;
  };
  export default bunzip;
}
