import type { RangeSource } from "./ports.ts";

/** A stretch of a payload that has one digest: a block, or the map. */
export interface PieceSpec {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  readonly sha256: Uint8Array;
}

/** Bytes that one source gave, relative to the piece. */
interface Part {
  readonly start: number;
  readonly bytes: Uint8Array;
  readonly source: string;
}

/** How a piece is filled. */
export interface FillOptions {
  readonly sliceBytes: number;
  /** Resolves when so many bytes may be asked for. */
  readonly admit: (bytes: number, signal: AbortSignal) => Promise<void>;
  readonly onPart: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/**
 * The bytes of one piece as they come, also from several sources: what one gave before it failed is kept. Who gave what is
 * remembered, so that a wrong digest finds its author.
 */
export class Piece {
  readonly spec: PieceSpec;
  #parts: Part[] = [];

  constructor(spec: PieceSpec) {
    this.spec = spec;
  }

  get receivedBytes(): number {
    return this.#parts.reduce((sum, part) => sum + part.bytes.length, 0);
  }

  get isFull(): boolean {
    return this.receivedBytes === this.spec.length;
  }

  /** Names of the sources that had a part in it. */
  get sources(): readonly string[] {
    return [...new Set(this.#parts.map((part) => part.source))];
  }

  /** Fills the gaps from one source. Rejects with the source's error; what came before stays. */
  async fillFrom(source: RangeSource, options: FillOptions): Promise<void> {
    const slices = this.#gaps().flatMap((gap) => slicesOf(gap, options.sliceBytes));
    const stop = new AbortController();
    const signal = AbortSignal.any([options.signal, stop.signal]);
    const work = async (): Promise<void> => {
      for (let slice = slices.shift(); slice !== undefined; slice = slices.shift()) {
        await options.admit(slice.length, signal);
        const { path, offset } = this.spec;
        const request = { path, offset: offset + slice.start, length: slice.length, signal };
        const bytes = await source.read(request);
        this.#parts.push({ start: slice.start, bytes, source: source.name });
        options.onPart(bytes.length);
      }
    };
    const workers = Array.from({ length: source.rangesAtATime }, () =>
      work().catch((error: unknown) => {
        // The others are ended, and their errors are not the cause.
        if (!stop.signal.aborted) stop.abort(error);
      }),
    );
    await Promise.all(workers);
    if (stop.signal.aborted) throw stop.signal.reason;
  }

  bytes(): Uint8Array {
    const [only] = this.#parts;
    if (only !== undefined && this.#parts.length === 1) return only.bytes;
    const whole = new Uint8Array(this.spec.length);
    for (const part of this.#parts) whole.set(part.bytes, part.start);
    return whole;
  }

  /** Sources whose part is not what the right bytes are. */
  liarsAgainst(right: Uint8Array): readonly string[] {
    const wrong = this.#parts.filter((part) =>
      part.bytes.some((b, i) => b !== right[part.start + i]),
    );
    return [...new Set(wrong.map((part) => part.source))];
  }

  #gaps(): readonly { readonly start: number; readonly length: number }[] {
    const gaps: { start: number; length: number }[] = [];
    let at = 0;
    for (const part of this.#parts.toSorted((a, b) => a.start - b.start)) {
      if (part.start > at) gaps.push({ start: at, length: part.start - at });
      at = part.start + part.bytes.length;
    }
    if (at < this.spec.length) gaps.push({ start: at, length: this.spec.length - at });
    return gaps;
  }
}

function slicesOf(
  gap: { readonly start: number; readonly length: number },
  sliceBytes: number,
): readonly { readonly start: number; readonly length: number }[] {
  return Array.from({ length: Math.ceil(gap.length / sliceBytes) }, (_, i) => {
    const done = i * sliceBytes;
    return { start: gap.start + done, length: Math.min(sliceBytes, gap.length - done) };
  });
}
