import {
  CONNECT_PACKET_BYTES_MAX,
  TOPIC_BYTES_MAX,
  UP_PACKET_BYTES_MAX,
} from "@flotilla/shared/protocol/limits";
import { SUBSCRIBE_BYTES_MAX, TOPIC_LEVELS_MAX } from "./limits.ts";

/** Why a connection is closed by what its bytes say. A closed set: it labels a metric. */
export type Violation =
  | "not-connect-first"
  | "second-connect"
  | "packet-type"
  | "packet-length"
  | "packet-too-large"
  | "qos"
  | "topic-too-long"
  | "topic-malformed"
  | "topic-too-deep";

/** What was found in a piece of the stream. */
export type Inspection =
  /** All of it may be passed on. `packets` began in it. */
  | { readonly kind: "pass"; readonly packets: number }
  /** CONNECT ends before `end`; what follows waits until it is accepted. */
  | { readonly kind: "connect"; readonly end: number }
  | { readonly kind: "violation"; readonly violation: Violation };

const TYPE = { connect: 1, publish: 3, puback: 4, subscribe: 8, unsubscribe: 10, pingreq: 12 };
const DISCONNECT = 14;
/** A PUBLISH whose payload is just as large as allowed has its topic and packet id before it. */
const PUBLISH_BYTES_MAX: number = UP_PACKET_BYTES_MAX + TOPIC_BYTES_MAX + 4;

/** Exact or largest remaining length by packet type, once connected. Types that no node sends are missing. */
const LENGTHS: ReadonlyMap<number, { readonly min: number; readonly max: number }> = new Map([
  [TYPE.publish, { min: 3, max: PUBLISH_BYTES_MAX }],
  [TYPE.puback, { min: 2, max: 2 }],
  [TYPE.subscribe, { min: 5, max: SUBSCRIBE_BYTES_MAX }],
  [TYPE.unsubscribe, { min: 4, max: SUBSCRIBE_BYTES_MAX }],
  [TYPE.pingreq, { min: 0, max: 0 }],
  [DISCONNECT, { min: 0, max: 0 }],
]);

type State = "type" | "length" | "topic-length" | "topic" | "body";

/**
 * Reads the fixed headers of MQTT 3.1.1 (§2.2) and the topics of PUBLISH (§3.3.2.1) in a stream of bytes, and judges them
 * before a body is buffered by anybody. Holds at most one topic.
 */
export class PacketInspector {
  #state: State = "type";
  #phase: "before" | "during" | "connected" = "before";
  #first = 0;
  #lengthShift = 0;
  /** Bytes of the packet that are still to come. */
  #remaining = 0;
  #topicLength = 0;
  #topicLengthBytes = 0;
  #topic: number[] = [];

  /** CONNECT was accepted: other packets, and larger ones, may come. */
  accept(): void {
    this.#phase = "connected";
  }

  /** Judges the bytes of `chunk` from `start` on. After a violation the inspector is of no further use. */
  inspect(chunk: Uint8Array, start: number): Inspection {
    let packets = 0;
    let at = start;
    while (at < chunk.length) {
      if (this.#state === "body") at += this.#skip(chunk.length - at);
      else {
        const byte = chunk[at++] ?? 0;
        if (this.#state === "type") packets++;
        const violation = this.#readByte(byte);
        if (violation !== undefined) return { kind: "violation", violation };
      }
      if (this.#isConnectComplete()) return { kind: "connect", end: at };
    }
    return { kind: "pass", packets };
  }

  #isConnectComplete(): boolean {
    return this.#phase === "during" && this.#state === "type";
  }

  #readByte(byte: number): Violation | undefined {
    if (this.#state === "type") return this.#readType(byte);
    if (this.#state === "length") return this.#readLength(byte);
    this.#remaining--;
    if (this.#state === "topic-length") return this.#readTopicLength(byte);
    this.#topic.push(byte);
    return this.#topic.length === this.#topicLength ? this.#endTopic() : undefined;
  }

  #readType(byte: number): Violation | undefined {
    const type = byte >> 4;
    if (this.#phase === "before" && type !== TYPE.connect) return "not-connect-first";
    if (this.#phase === "connected") {
      if (type === TYPE.connect) return "second-connect";
      if (!LENGTHS.has(type)) return "packet-type";
      if (type === TYPE.publish && ((byte >> 1) & 3) > 1) return "qos";
      const flags = type === TYPE.subscribe || type === TYPE.unsubscribe ? 2 : 0;
      if (type !== TYPE.publish && (byte & 15) !== flags) return "packet-type";
    } else if ((byte & 15) !== 0) return "packet-type";
    this.#phase = this.#phase === "before" ? "during" : this.#phase;
    this.#first = byte;
    this.#remaining = 0;
    this.#lengthShift = 0;
    this.#state = "length";
    return undefined;
  }

  /** Remaining length, seven bits a byte, four bytes at most (§2.2.3). Judged with each byte: it only grows. */
  #readLength(byte: number): Violation | undefined {
    this.#remaining += (byte & 127) * 2 ** this.#lengthShift;
    this.#lengthShift += 7;
    const isLast = (byte & 128) === 0;
    if (!isLast && this.#lengthShift >= 28) return "packet-length";
    const type = this.#first >> 4;
    const limits =
      this.#phase === "connected"
        ? (LENGTHS.get(type) ?? { min: 0, max: 0 })
        : { min: 10, max: CONNECT_PACKET_BYTES_MAX };
    if (this.#remaining > limits.max) return "packet-too-large";
    if (!isLast) return undefined;
    if (this.#remaining < limits.min) return "packet-length";
    this.#topicLength = 0;
    this.#topicLengthBytes = 0;
    this.#topic = [];
    if (type === TYPE.publish) this.#state = "topic-length";
    else this.#state = this.#remaining === 0 ? "type" : "body";
    return undefined;
  }

  #readTopicLength(byte: number): Violation | undefined {
    this.#topicLength = this.#topicLength * 256 + byte;
    if (++this.#topicLengthBytes < 2) return undefined;
    if (this.#topicLength > TOPIC_BYTES_MAX) return "topic-too-long";
    if (this.#topicLength === 0 || this.#topicLength > this.#remaining) return "topic-malformed";
    this.#state = "topic";
    return undefined;
  }

  #endTopic(): Violation | undefined {
    const topic = Uint8Array.from(this.#topic);
    this.#topic = [];
    this.#state = this.#remaining === 0 ? "type" : "body";
    return judgeTopic(topic);
  }

  #skip(available: number): number {
    const taken = Math.min(available, this.#remaining);
    this.#remaining -= taken;
    if (this.#remaining === 0) this.#state = "type";
    return taken;
  }
}

/** A topic name (§4.7.3): UTF-8, no NUL, no wildcard, few levels. */
function judgeTopic(bytes: Uint8Array): Violation | undefined {
  let levels = 1;
  let isAscii = true;
  for (const byte of bytes) {
    if (byte === 0 || byte === 0x23 || byte === 0x2b) return "topic-malformed";
    if (byte === 0x2f) levels++;
    if (byte >= 0x80) isAscii = false;
  }
  if (levels > TOPIC_LEVELS_MAX) return "topic-too-deep";
  if (isAscii) return undefined;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return undefined;
  } catch {
    return "topic-malformed";
  }
}
