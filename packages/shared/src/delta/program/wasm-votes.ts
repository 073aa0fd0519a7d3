import type { RandomAccess } from "../random-access.ts";
import { type CopyMap, startsOf } from "./copy-map.ts";
import type { Image } from "./image.ts";
import { ValueVotes } from "./value-map.ts";
import { mapOfKind, numberAt, type WasmMaps } from "./wasm-coder.ts";
import { CONSTANT, OFFSET, WasmTokens } from "./wasm-tokens.ts";

const WARM_UP = 64;
/** Copies are read piece by piece. */
const PIECE_BYTES = 1 << 20;
/** As for the coder: smaller numbers are no addresses. */
const LEAST_ADDRESS = 1024;

/** Looks at all copied code of two modules: which functions and addresses became which. */
export function wasmMapsOf(
  files: { readonly base: RandomAccess; readonly target: RandomAccess },
  images: { readonly old: Image; readonly new: Image },
  copies: CopyMap,
): WasmMaps {
  const votes = { functions: new ValueVotes(), addresses: new ValueVotes() };
  const code = images.old.segments.find((s) => s.executable);
  const starts = startsOf(copies);
  copies.from.forEach((start, i) => {
    const shift = (starts[i] ?? 0) - start;
    const end = Math.min(
      start + (copies.copied[i] ?? 0),
      (code?.offset ?? 0) + (code?.length ?? 0),
    );
    for (let at = Math.max(start, code?.offset ?? end); at < end; at += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, end - at);
      const before = Math.min(WARM_UP, at);
      const old = files.base.read(at - before, before + length);
      vote(votes, old, files.target.read(at + shift, length), before);
    }
  });
  return { functions: votes.functions.map(), addresses: votes.addresses.map() };
}

function vote(
  votes: { readonly [of in keyof WasmMaps]: ValueVotes },
  old: Uint8Array,
  fresh: Uint8Array,
  before: number,
): void {
  const tokens = new WasmTokens();
  for (let at = 0; at < old.length; at += tokens.length) {
    tokens.next(old, at, old.length);
    const of = mapOfKind(tokens.kind);
    if (of === undefined || at < before || tokens.length > 5) continue;
    if ((tokens.kind === CONSTANT || tokens.kind === OFFSET) && tokens.value < LEAST_ADDRESS)
      continue;
    const found = numberAt(fresh, at - before, tokens.length, tokens.kind === CONSTANT);
    if (found >= 0) votes[of].add(tokens.value, found);
  }
}
