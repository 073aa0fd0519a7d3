import { encoding, type PayloadSink } from "../../delta/encode.ts";
import type { EncodeInput } from "../../delta/encode-types.ts";
import type { DeltaManifest } from "../../delta/envelope.ts";
import type { NativeBsdiff } from "./bsdiff.ts";
import { nodeCompressor, nodeDigests } from "./node-compressor.ts";

/** As `encodeDelta`, with Node's zlib and with bsdiff where it is worth a try. CPU-seconds at a stretch: for a worker. */
export async function encodeDeltaFully(
  input: EncodeInput,
  bsdiff: NativeBsdiff,
  sink: PayloadSink,
): Promise<DeltaManifest> {
  const deps = { compressor: nodeCompressor, digests: nodeDigests };
  const work = encoding(input, deps, sink);
  let state = work.next();
  while (state.done !== true) state = work.next(await bsdiff.answer(state.value));
  return state.value;
}
