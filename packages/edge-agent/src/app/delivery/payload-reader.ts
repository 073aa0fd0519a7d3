import { type Digests, sameBytes } from "@flotilla/shared/delta/digest";
import type { DeltaManifest } from "@flotilla/shared/delta/envelope";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { Random } from "@flotilla/shared/kernel/random";
import { fullJitterMs, type RetrySchedule } from "@flotilla/shared/kernel/retry";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { Bandwidth } from "./bandwidth.ts";
import type { Crowd } from "./crowd.ts";
import type { HubRoute } from "./hub-route.ts";
import { Piece, type PieceSpec } from "./piece.ts";
import type { ByteSourceErrorCode, KeptPayload, RangeSource } from "./ports.ts";
import { SliceSize } from "./slice-size.ts";

/** The hub is asked again after a failure: full jitter below base·2^n. */
export const HUB_BACK_OFF: RetrySchedule = { baseMs: 1_000, capMs: 60_000 };
/** So many failures of the hub in a row, without a byte in between, end the try. */
export const HUB_FAILURES_MAX = 8;
/** So long after a failure of the hub every peer is of interest. */
export const HUB_FAILING_MS = 15_000;
/** With peers the hub is waited for so long at most: one of them may have it meanwhile. */
const PEERS_BACK_OFF_MS_MAX = 4_000;
/** A peer that says at once that it has nothing new is not asked again sooner. */
const FOLLOW_MS_MIN = 250;
/** So often a piece may come wrong from the hub before the try ends. A peer is asked once only. */
export const WRONG_PIECES_MAX = 4;

export interface PayloadReaderOptions {
  /** `payloads/<manifestSha256>`. */
  readonly path: string;
  readonly manifest: DeltaManifest;
}

export interface PayloadReaderDeps {
  readonly route: Pick<HubRoute, "present">;
  /** Undefined: this node takes nothing from others. */
  readonly crowd: Crowd | undefined;
  /** Where it is kept for others; undefined: nowhere. */
  readonly kept: KeptPayload | undefined;
  readonly bandwidth: Bandwidth;
  readonly digests: Digests;
  /** Called before each piece: resolves when it may be fetched. */
  readonly gate: (signal: AbortSignal) => Promise<void>;
  readonly onReceived: (bytes: number) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Gives the pieces of one payload in order, whoever they come from: what is kept, peers, the hub. No piece leaves it that has not
 * its digest. While one is applied the next is fetched, when it can be kept.
 */
export class PayloadReader {
  readonly #options: PayloadReaderOptions;
  readonly #deps: PayloadReaderDeps;
  readonly #pieces: readonly PieceSpec[];
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  readonly #slices = new SliceSize();
  #kept: KeptPayload | undefined;
  #ahead: { readonly spec: PieceSpec; readonly bytes: Promise<Uint8Array> } | undefined;
  /** What is under way for a read. */
  #current: Promise<Uint8Array> | undefined;
  #hubFailedMs = Number.NEGATIVE_INFINITY;
  #failure: unknown;

  constructor(options: PayloadReaderOptions, deps: PayloadReaderDeps, signal: AbortSignal) {
    this.#options = options;
    this.#deps = deps;
    this.#pieces = piecesOf(options.path, options.manifest);
    this.#signal = AbortSignal.any([signal, this.#over.signal]);
    this.#kept = deps.kept;
  }

  /** Why the last read failed; undefined when none did. */
  get failure(): unknown {
    return this.#failure;
  }

  /** One piece. Rejects with the error of the last source, or the signal's reason. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const spec = this.#pieces.find((p) => p.offset === offset && p.length === length);
    if (length === 0) return new Uint8Array(0);
    if (spec === undefined) throw new RangeError(`${length} bytes at ${offset} are no piece`);
    try {
      const ahead = this.#ahead;
      this.#ahead = undefined;
      this.#current = ahead?.spec === spec ? ahead.bytes : this.#obtain(spec);
      const bytes = await this.#current;
      this.#fetchAfter(spec);
      return bytes;
    } catch (error) {
      this.#failure ??= error;
      throw error;
    }
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.#over.abort(new Error("the transfer is over"));
    for (const bytes of [this.#current, this.#ahead?.bytes]) await bytes?.catch(() => undefined);
    await this.#kept?.close();
    this.#kept = undefined;
  }

  #fetchAfter(spec: PieceSpec): void {
    const next = this.#pieces[this.#pieces.indexOf(spec) + 1];
    if (next === undefined || this.#kept === undefined) return;
    const bytes = this.#obtain(next);
    // Whoever reads it gets the error.
    bytes.catch(() => undefined);
    this.#ahead = { spec: next, bytes };
  }

  async #obtain(spec: PieceSpec): Promise<Uint8Array> {
    const end = spec.offset + spec.length;
    if (this.#kept !== undefined && this.#kept.availableBytes >= end) {
      const bytes = await this.#kept.read(spec.offset, spec.length);
      if (this.#isRight(spec, bytes)) return bytes;
      await this.#stopKeeping("it is not what was signed any more");
    }
    const bytes = await this.#fetch(spec);
    if (this.#kept?.availableBytes === spec.offset) await this.#keep(this.#kept, bytes);
    return bytes;
  }

  async #keep(kept: KeptPayload, bytes: Uint8Array): Promise<void> {
    try {
      await kept.append(bytes);
    } catch (error) {
      await this.#stopKeeping(messageOf(error));
    }
  }

  /** The transfer goes on without. */
  async #stopKeeping(reason: string): Promise<void> {
    this.#deps.log.warn({ path: this.#options.path, reason }, "a payload is not kept for others");
    const kept = this.#kept;
    this.#kept = undefined;
    await kept?.close();
  }

  async #fetch(spec: PieceSpec): Promise<Uint8Array> {
    let mixed: Piece | undefined;
    for (let wrong = 0; wrong < WRONG_PIECES_MAX; ) {
      const piece = await this.#fill(spec, mixed !== undefined);
      const bytes = piece.bytes();
      if (this.#isRight(spec, bytes)) {
        for (const liar of mixed?.liarsAgainst(bytes) ?? []) this.#blame(liar);
        return bytes;
      }
      const [only = "", ...others] = piece.sources;
      // Of a piece of several the next try, from one source, will tell who gave what is wrong.
      if (others.length > 0) mixed = piece;
      else if (this.#blame(only) !== "peer") wrong += 1;
    }
    throw new CodedError<ByteSourceErrorCode>(
      "source-misbehaves",
      `${spec.path}: ${WRONG_PIECES_MAX} times bytes came from the hub that are not what was signed`,
      { fields: { path: spec.path, offset: spec.offset } },
    );
  }

  /** A piece that is full. `isAlone`: all of it from one source. */
  async #fill(spec: PieceSpec, isAlone: boolean): Promise<Piece> {
    let piece = new Piece(spec);
    let failures = 0;
    while (!piece.isFull) {
      await this.#deps.gate(this.#signal);
      const before = piece.receivedBytes;
      const failed = await this.#oneStep(piece);
      if (failed === undefined) continue;
      if (piece.receivedBytes > before) failures = 0;
      if (isAlone) piece = new Piece(spec);
      if (!failed.isHub) continue;
      failures += 1;
      if (failures >= HUB_FAILURES_MAX) throw failed.error;
      const waitMs = fullJitterMs(HUB_BACK_OFF, failures, this.#deps.random);
      const capMs = this.#deps.crowd?.isEmpty === false ? PEERS_BACK_OFF_MS_MAX : waitMs;
      await this.#deps.clock.sleep(Math.min(waitMs, capMs), this.#signal);
    }
    return piece;
  }

  /** Does what the crowd says. Returns a failure of a source; rejects with what no other source mends. */
  async #oneStep(
    piece: Piece,
  ): Promise<{ readonly isHub: boolean; readonly error: unknown } | undefined> {
    const { crowd, clock } = this.#deps;
    const isHubFailing = clock.bootMs() < this.#hubFailedMs + HUB_FAILING_MS;
    const end = piece.spec.offset + piece.spec.length;
    const choice = crowd?.choose(end, isHubFailing) ?? { kind: "fetch" };
    switch (choice.kind) {
      case "look":
        await crowd?.look(choice.nodes, this.#signal);
        return undefined;
      case "pause":
        await clock.sleep(choice.waitMs, this.#signal);
        return undefined;
      case "read":
        return this.#fillFromPeer(piece, choice.nodes[0] ?? "", 0);
      case "follow": {
        const untilMs = clock.bootMs() + FOLLOW_MS_MIN;
        const failed = await this.#fillFromPeer(piece, choice.node, choice.waitMs);
        if (failed !== undefined) await clock.sleep(untilMs - clock.bootMs(), this.#signal);
        return failed;
      }
      case "fetch":
        return this.#fillFromHub(piece);
    }
  }

  async #fillFromPeer(piece: Piece, node: string, waitMs: number) {
    const source = this.#deps.crowd?.source(node);
    if (source === undefined) return undefined;
    const reading: RangeSource =
      waitMs === 0
        ? source
        : {
            name: source.name,
            rangeBytesMax: source.rangeBytesMax,
            rangesAtATime: 1,
            read: (request) => source.readWhenThere(request, waitMs),
            readWhole: (request) => source.readWhole(request),
          };
    try {
      await piece.fillFrom(reading, {
        sliceBytes: source.rangeBytesMax,
        admit: () => Promise.resolve(),
        onPart: (bytes) => this.#received(piece, "peer", bytes),
        signal: this.#signal,
      });
      this.#deps.crowd?.gave(node);
      return undefined;
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!(error instanceof CodedError)) throw error;
      this.#countFailure("peer", error);
      this.#deps.crowd?.failed(node, error);
      return { isHub: false, error };
    }
  }

  async #fillFromHub(piece: Piece) {
    const { route, bandwidth, clock } = this.#deps;
    const source = route.present();
    const kind = source.name === "link" ? "link" : "hub";
    const timed: RangeSource = {
      name: source.name,
      rangeBytesMax: source.rangeBytesMax,
      rangesAtATime: source.rangesAtATime,
      read: async (request) => {
        const startMs = clock.bootMs();
        const bytes = await source.read(request);
        this.#slices.took(request.length, clock.bootMs() - startMs);
        return bytes;
      },
      readWhole: (request) => source.readWhole(request),
    };
    try {
      await piece.fillFrom(timed, {
        sliceBytes: bandwidth.sliceBytes(this.#slices.bytes(source.rangeBytesMax)),
        admit: (bytes, signal) => bandwidth.take(bytes, signal),
        onPart: (bytes) => this.#received(piece, kind, bytes),
        signal: this.#signal,
      });
      return undefined;
    } catch (error) {
      this.#signal.throwIfAborted();
      // The hub says that it has none of it: another offer is needed, not another try.
      if (!(error instanceof CodedError) || error.code === "source-absent") throw error;
      this.#countFailure(kind, error);
      this.#slices.failed();
      this.#hubFailedMs = clock.bootMs();
      return { isHub: true, error };
    }
  }

  #received(piece: Piece, source: SourceKind, bytes: number): void {
    this.#deps.metrics.count("flotilla_agent_artifact_received_bytes_total", { source }, bytes);
    this.#kept?.received(piece.spec.offset + piece.receivedBytes);
    this.#deps.onReceived(bytes);
  }

  #countFailure(source: SourceKind, { code }: CodedError): void {
    const labels = { source, code };
    this.#deps.metrics.count("flotilla_agent_artifact_source_failures_total", labels);
  }

  /** It gave bytes that are not what was signed. */
  #blame(source: string): SourceKind {
    const { clock, crowd, metrics, log } = this.#deps;
    const node = /^peer (.*)$/.exec(source)?.[1];
    const kind = node === undefined ? (source === "link" ? "link" : "hub") : "peer";
    metrics.count("flotilla_agent_artifact_blocks_refused_total", { source: kind });
    if (node !== undefined) crowd?.strike(node, "lied", "its bytes are not what was signed");
    else {
      log.warn({ source, path: this.#options.path }, "bytes came that are not what was signed");
      this.#hubFailedMs = clock.bootMs();
    }
    return kind;
  }

  #isRight(spec: PieceSpec, bytes: Uint8Array): boolean {
    return sameBytes(this.#deps.digests.sha256(bytes), spec.sha256);
  }
}

type SourceKind = "hub" | "link" | "peer";

/** Map and blocks, in order; blocks without bytes are left out. */
export function piecesOf(path: string, manifest: DeltaManifest): readonly PieceSpec[] {
  const pieces: PieceSpec[] = [];
  let offset = 0;
  const add = (length: number, sha256: Uint8Array): void => {
    if (length > 0) pieces.push({ path, offset, length, sha256 });
    offset += length;
  };
  if (manifest.map !== undefined) add(manifest.map.length, manifest.map.sha256);
  for (const block of manifest.blocks) add(block.payloadLength, block.payloadSha256);
  return pieces;
}

/** How many bytes from the begin of a kept payload are what was signed. */
export async function rightBytes(
  pieces: readonly PieceSpec[],
  kept: { readonly availableBytes: number; readonly read: KeptPayload["read"] },
  digests: Digests,
): Promise<number> {
  let right = 0;
  for (const { offset, length, sha256 } of pieces) {
    if (offset + length > kept.availableBytes) break;
    if (!sameBytes(digests.sha256(await kept.read(offset, length)), sha256)) break;
    right = offset + length;
  }
  return right;
}
