import { must } from "@flotilla/shared/kernel/assert";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { parseNodeId } from "@flotilla/shared/kernel/ids";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { ReportedState } from "@flotilla/shared/model/reported-state";
import type { UpEnvelope } from "@flotilla/shared/protocol/envelope";
import { TOPIC_BYTES_MAX, UP_PACKET_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import { type UpKind, upTopic } from "@flotilla/shared/protocol/topics";
import type { Birth } from "@flotilla/shared/protocol/up/birth";
import type { LogChunk } from "@flotilla/shared/protocol/up/log-chunk";
import { PROTOCOL_VERSION } from "@flotilla/shared/protocol/version";
import type { AgentStore } from "../state/ports.ts";

/** Largest payload: the packet less its topic, fixed header and packet id. */
export const UP_PAYLOAD_BYTES_MAX: number = UP_PACKET_BYTES_MAX - TOPIC_BYTES_MAX - 16;

export interface UpDraft {
  readonly kind: UpKind;
  readonly body: unknown;
  /** Absent: a fresh one. */
  readonly id?: string;
  readonly replyTo?: string;
}

/** A message with its number and its bytes, ready for the session. */
export interface Numbered {
  readonly kind: UpKind;
  readonly topic: string;
  readonly payload: Uint8Array;
}

/** Gives messages their envelope: number, time, topic. */
export class UpMessages {
  readonly #address: { readonly shard: string; readonly nodeId: string };
  readonly #deps: UpMessagesDeps;

  constructor(address: { readonly shard: string; readonly nodeId: string }, deps: UpMessagesDeps) {
    this.#address = address;
    this.#deps = deps;
  }

  /** Undefined when it is larger than a packet may be; its number is then skipped. */
  number(draft: UpDraft): Numbered | undefined {
    const { store } = this.#deps;
    const payload = this.#encode(draft, { epoch: store.epoch, seq: store.nextSeq() });
    if (payload.byteLength > UP_PAYLOAD_BYTES_MAX) return undefined;
    return { kind: draft.kind, topic: this.#topic(draft.kind), payload };
  }

  /** A birth that fits, if need be without the texts that explain its instances. */
  numberBirth(birth: Birth): Numbered | undefined {
    return (
      this.number({ kind: "birth", body: birth }) ??
      this.number({ kind: "birth", body: { ...birth, reported: withoutTexts(birth.reported) } })
    );
  }

  /** The end of a log, cut until it fits: a control character takes six bytes in JSON. */
  numberLog(chunk: LogChunk, replyTo: string): Numbered | undefined {
    let body = chunk;
    for (;;) {
      const numbered = this.number({ kind: "log-chunk", body, replyTo });
      if (numbered !== undefined || body.text.length < 2) return numbered;
      body = { ...body, text: body.text.slice(body.text.length / 2), truncated: true };
    }
  }

  /** The will. It carries number 0: the broker sends it, whenever. */
  death(bootId: string): { readonly topic: string; readonly payload: Uint8Array } {
    const draft = { kind: "death", body: { bootId } } as const;
    const payload = this.#encode(draft, { epoch: this.#deps.store.epoch, seq: 0 });
    return { topic: this.#topic("death"), payload };
  }

  #encode(draft: UpDraft, position: { epoch: number; seq: number }): Uint8Array {
    const envelope: UpEnvelope = {
      v: PROTOCOL_VERSION,
      kind: draft.kind,
      id: draft.id ?? uuid(this.#deps.random, "link.message"),
      ...position,
      sentAt: Math.max(0, Math.trunc(this.#deps.clock.wallMs())),
      ...(draft.replyTo === undefined ? {} : { replyTo: draft.replyTo }),
      body: draft.body,
    };
    return new TextEncoder().encode(JSON.stringify(envelope));
  }

  #topic(kind: UpKind): string {
    const nodeId = must(parseNodeId(this.#address.nodeId), "enrolment gives a valid node id");
    return upTopic({ shard: this.#address.shard, nodeId }, kind);
  }
}

export interface UpMessagesDeps {
  readonly store: Pick<AgentStore, "epoch" | "nextSeq">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly random: Random;
}

function withoutTexts(reported: ReportedState): ReportedState {
  return {
    ...reported,
    instances: reported.instances.map((instance) => {
      const { message, ...rest } = instance;
      return message === undefined ? instance : rest;
    }),
  };
}
