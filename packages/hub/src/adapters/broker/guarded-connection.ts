import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { type BrokerLimits, FLOOD_BURSTS, LINGER_MS } from "./limits.ts";
import { PacketInspector, type Violation } from "./packet-inspector.ts";
import { TokenBucket } from "./token-bucket.ts";

/** Why the guard closed a connection. */
export type GuardReason = Violation | "flood" | "throttled-too-long";

/** The guard closed the connection. */
export class GuardError extends Error {
  override readonly name = "GuardError";
  readonly reason: GuardReason;

  constructor(reason: GuardReason) {
    super(`connection closed: ${reason}`);
    this.reason = reason;
  }
}

interface Deps {
  readonly socket: Socket;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  readonly onThrottled: () => void;
}

/**
 * Stands between a TLS socket and the MQTT parser. Bytes reach the parser only after the inspector has judged the header
 * that they belong to; after CONNECT nothing does until `accept` is called; a session over its rate is not read for a
 * while, so that TCP holds the sender back.
 */
export class GuardedConnection extends Duplex {
  readonly #limits: BrokerLimits;
  readonly #deps: Deps;
  readonly #socket: Socket;
  readonly #inspector = new PacketInspector();
  readonly #packets: TokenBucket;
  readonly #bytes: TokenBucket;
  /** Why the socket is not read at present. */
  readonly #holds = new Set<"reader" | "connect" | "rate">(["reader"]);
  #held: Buffer[] = [];
  #throttledSinceMs: number | undefined;
  #throttleTimer: NodeJS.Timeout | undefined;
  #afterDrain: (() => void) | undefined;

  constructor(limits: BrokerLimits, deps: Deps) {
    super({ allowHalfOpen: true });
    this.#limits = limits;
    this.#deps = deps;
    this.#socket = deps.socket;
    const nowMs = deps.nowMs();
    this.#packets = new TokenBucket({
      perSecond: limits.packetsPerSecond,
      burst: limits.packetBurst,
      nowMs,
    });
    this.#bytes = new TokenBucket({
      perSecond: limits.bytesPerSecond,
      burst: limits.byteBurst,
      nowMs,
    });
    this.on("error", () => {});
    this.#socket.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#socket.on("drain", () => this.#drained());
    this.#socket.on("end", () => this.push(null));
    this.#socket.on("error", (error) => this.destroy(error));
    this.#socket.on("close", () => this.destroy());
    this.#socket.pause();
  }

  /** CONNECT was accepted: the rest of the stream may come. */
  accept(): void {
    this.#inspector.accept();
    this.#holds.delete("connect");
    const held = this.#held;
    this.#held = [];
    for (const chunk of held) this.#take(chunk);
    this.#updateFlow();
  }

  /** Bytes that wait to be sent. */
  get waitingBytes(): number {
    return this.writableLength + this.#socket.writableLength;
  }

  override _read(): void {
    this.#holds.delete("reader");
    this.#updateFlow();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#socket.write(chunk)) done();
    else this.#afterDrain = done;
  }

  /** The parts of one packet go out as one record. */
  override _writev(
    chunks: readonly { readonly chunk: Buffer; readonly encoding: BufferEncoding }[],
    done: () => void,
  ): void {
    const all = Buffer.concat(chunks.map((c) => Buffer.from(c.chunk)));
    this._write(all, "utf8", done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  /** With an error the socket is cut; without, what was written before (a refusal) still goes out, for LINGER_MS. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#throttleTimer);
    this.#held = [];
    if (error !== null || this.#socket.destroyed) this.#socket.destroy();
    else {
      this.#socket.resume();
      this.#socket.end();
      const timer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
      this.#socket.once("close", () => clearTimeout(timer));
    }
    done(error);
  }

  #take(chunk: Buffer): void {
    if (this.destroyed) return;
    if (this.#holds.has("connect")) {
      this.#held.push(chunk);
      return;
    }
    const found = this.#inspector.inspect(chunk, 0);
    if (found.kind === "violation") {
      this.destroy(new GuardError(found.violation));
      return;
    }
    if (found.kind === "connect") {
      this.#holds.add("connect");
      if (found.end < chunk.length) this.#held.push(chunk.subarray(found.end));
      this.#forward(chunk.subarray(0, found.end));
      return;
    }
    this.#charge(found.packets, chunk.length);
    this.#forward(chunk);
  }

  #forward(chunk: Buffer): void {
    if (this.destroyed) return;
    if (!this.push(chunk)) this.#holds.add("reader");
    this.#updateFlow();
  }

  #charge(packets: number, bytes: number): void {
    const nowMs = this.#deps.nowMs();
    const packetsLeft = this.#packets.charge(packets, nowMs);
    const bytesLeft = this.#bytes.charge(bytes, nowMs);
    if (packetsLeft < -FLOOD_BURSTS * this.#limits.packetBurst) {
      this.destroy(new GuardError("flood"));
      return;
    }
    const debtMs = Math.max(this.#packets.debtMs, this.#bytes.debtMs);
    if (debtMs > 0) this.#throttle(debtMs, nowMs);
    else if (packetsLeft > this.#limits.packetBurst / 2 && bytesLeft > this.#limits.byteBurst / 2)
      this.#throttledSinceMs = undefined;
  }

  #throttle(forMs: number, nowMs: number): void {
    this.#throttledSinceMs ??= nowMs;
    if (nowMs - this.#throttledSinceMs > this.#limits.throttledMsMax) {
      this.destroy(new GuardError("throttled-too-long"));
      return;
    }
    this.#deps.onThrottled();
    this.#holds.add("rate");
    clearTimeout(this.#throttleTimer);
    this.#throttleTimer = setTimeout(() => {
      this.#holds.delete("rate");
      this.#updateFlow();
    }, forMs);
  }

  #updateFlow(): void {
    if (this.destroyed) return;
    if (this.#holds.size === 0) this.#socket.resume();
    else this.#socket.pause();
  }

  #drained(): void {
    const done = this.#afterDrain;
    this.#afterDrain = undefined;
    done?.();
  }
}
