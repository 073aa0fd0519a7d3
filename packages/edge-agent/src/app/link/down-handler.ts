/** What comes down on a session. Everything is decoded and judged here; the broker is not trusted. */
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { DesiredState } from "@flotilla/shared/model/desired-state";
import type { Codec } from "@flotilla/shared/protocol/codec";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import type { Desired } from "@flotilla/shared/protocol/down/desired";
import type { LogGet } from "@flotilla/shared/protocol/down/log-get";
import { HubState } from "@flotilla/shared/protocol/hub-state";
import { HUB_STATE_TOPIC } from "@flotilla/shared/protocol/topics";
import type { LogChunk } from "@flotilla/shared/protocol/up/log-chunk";
import { Check } from "typebox/value";
import { type DesiredRefusal, decideDesired } from "../../domain/link/desired.ts";
import {
  type HubTime,
  isExpired,
  UNKNOWN_HUB_TIME,
  withMessage,
} from "../../domain/link/hub-time.ts";
import type { AgentStore } from "../state/ports.ts";
import type { SignatureVerifier } from "./ports.ts";

/** A desired state that could not be stored is asked for again after this. */
export const STORE_RETRY_MS = 60_000;
/** A refusal is told to the hub this often per reason at most; more are only counted. */
export const REFUSAL_NOTICE_INTERVAL_MS = 600_000;
/** Log requests that are worked on at a time. */
export const LOG_REQUESTS_MAX = 4;
/** The hub takes no epoch beyond this: a broker that names one wants to use the epochs up. */
export const EPOCH_MAX: number = 2 ** 48 - 1;
/** Each raise of the epoch is written to flash; an honest hub asks for one. */
export const EPOCH_RAISES_PER_SESSION_MAX = 3;
/** Longest retained hub state that is read, in bytes. */
const HUB_STATE_BYTES_MAX = 1_024;

export interface DownDeps {
  readonly store: AgentStore;
  readonly codec: Pick<Codec, "decodeDown">;
  readonly verifier: SignatureVerifier;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly onDesiredAccepted: (state: DesiredState) => void;
  readonly onLogGet: (request: LogGet) => Promise<LogChunk>;
  readonly onRebirth: () => void;
  readonly pull: (inMs?: number) => void;
  readonly answerLog: (chunk: LogChunk, replyTo: string) => void;
  /** Takes an answer to a question; false when nobody asked it. */
  readonly answered: (message: DownMessage) => boolean;
  /** The outbox has got something. */
  readonly wake: () => void;
}

/** Handles the messages of one session. */
export class DownHandler {
  readonly #nodeId: string;
  readonly #deps: DownDeps;
  readonly #noticedBootMs: Map<DesiredRefusal, number>;
  #hubTime: HubTime = UNKNOWN_HUB_TIME;
  #hubTerm: number | undefined;
  #logRequests = 0;
  #epochRaises = 0;

  /** `noticedBootMs` remembers over sessions when a refusal was last told. */
  constructor(
    options: { readonly nodeId: string; readonly noticedBootMs: Map<DesiredRefusal, number> },
    deps: DownDeps,
  ) {
    this.#nodeId = options.nodeId;
    this.#noticedBootMs = options.noticedBootMs;
    this.#deps = deps;
  }

  /** Term of the hub that serves, when it has said so on this session. */
  get hubTerm(): number | undefined {
    return this.#hubTerm;
  }

  receive(topic: string, payload: Uint8Array): void {
    if (topic === HUB_STATE_TOPIC) {
      this.#onHubState(payload);
      return;
    }
    const { codec, clock, metrics, log } = this.#deps;
    const decoded = codec.decodeDown(payload);
    if (!decoded.ok) {
      log.warn(
        { failure: decoded.failure, detail: decoded.detail },
        "a message was not understood",
      );
      this.#ignore(decoded.failure);
      return;
    }
    const { message } = decoded;
    const bootMs = clock.bootMs();
    this.#hubTime = withMessage(this.#hubTime, message.sentAt, bootMs);
    if (isExpired(this.#hubTime, message.expiresAt, bootMs)) {
      this.#ignore("expired");
      return;
    }
    metrics.count("flotilla_agent_link_received_total", { kind: message.kind });
    this.#handle(message);
  }

  #handle(message: DownMessage): void {
    switch (message.kind) {
      case "desired-notify":
        if (message.body.revision > (this.#deps.store.desired()?.state.revision ?? 0))
          this.#deps.pull();
        return;
      case "desired":
        this.#onDesired(message.body);
        return;
      case "rebirth":
        this.#deps.log.info({ reason: message.body.reason }, "the hub asks for a birth");
        this.#deps.onRebirth();
        return;
      case "epoch-behind":
        this.#onEpochBehind(message.body.seenEpoch);
        return;
      case "log-get":
        this.#onLogGet(message.body, message.id);
        return;
      case "artifact-offer":
      case "bytes":
        if (!this.#deps.answered(message)) this.#ignore("not-asked");
        return;
    }
  }

  #onDesired(desired: Desired): void {
    const { store, verifier, metrics, log, onDesiredAccepted, pull } = this.#deps;
    const held = store.desired();
    const decision = decideDesired(
      {
        nodeId: this.#nodeId,
        payload: held?.payload,
        revision: held?.state.revision ?? 0,
        revisionFloor: store.revisionFloor(),
      },
      { verified: verifier.verify(desired), payload: desired.payload },
    );
    const reason = decision.kind === "accept" ? "" : decision.reason;
    if (decision.kind === "refuse") this.#refuse(decision.reason, decision.detail);
    if (decision.kind === "accept") {
      const { state } = decision;
      try {
        store.acceptDesired({ state, ...desired });
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        metrics.count("flotilla_agent_desired_total", { outcome: "failed", reason: error.code });
        log.error(
          { error: error.message },
          "a desired state could not be stored; asking again later",
        );
        pull(STORE_RETRY_MS);
        return;
      }
      log.info(
        { revision: state.revision, instances: state.instances.length },
        "desired state accepted",
      );
      onDesiredAccepted(state);
    }
    metrics.count("flotilla_agent_desired_total", { outcome: decision.kind, reason });
  }

  /** Told to the operator through the hub, sparingly: a hostile broker must not fill the outbox. */
  #refuse(reason: DesiredRefusal, detail: string): void {
    const { store, clock, log } = this.#deps;
    log.warn({ reason, detail }, "a desired state was refused");
    const nowMs = clock.bootMs();
    const noticedMs = this.#noticedBootMs.get(reason);
    if (noticedMs !== undefined && nowMs - noticedMs < REFUSAL_NOTICE_INTERVAL_MS) return;
    this.#noticedBootMs.set(reason, nowMs);
    try {
      store.enqueue({
        kind: "notice",
        body: {
          type: "Warning",
          reason: `Desired${reason}`,
          message: detail.slice(0, 1_024),
          happenedAt: Math.max(0, Math.trunc(clock.wallMs())),
        },
      });
      this.#deps.wake();
    } catch (error) {
      log.warn({ error: messageOf(error) }, "a notice could not be stored");
    }
  }

  #onEpochBehind(seenEpoch: number): void {
    const { store, log, onRebirth } = this.#deps;
    if (seenEpoch < store.epoch) {
      this.#ignore("epoch-raised-already");
      return;
    }
    if (seenEpoch >= EPOCH_MAX || this.#epochRaises >= EPOCH_RAISES_PER_SESSION_MAX) {
      this.#ignore("implausible-epoch");
      return;
    }
    log.warn(
      { epoch: store.epoch, seenEpoch },
      "the state of this node went back in time; new epoch",
    );
    this.#epochRaises += 1;
    store.raiseEpoch(seenEpoch + 1);
    onRebirth();
  }

  #onLogGet(request: LogGet, replyTo: string): void {
    if (this.#logRequests >= LOG_REQUESTS_MAX) {
      this.#ignore("too-many-logs");
      return;
    }
    this.#logRequests += 1;
    void this.#deps
      .onLogGet(request)
      .catch((error: unknown) => ({
        instance: request.instance,
        text: "",
        truncated: false,
        error: messageOf(error).slice(0, 256),
      }))
      .then((chunk) => {
        this.#logRequests -= 1;
        this.#deps.answerLog(chunk, replyTo);
      });
  }

  /** The term only grows; an older one is a retained message of a hub that is gone. */
  #onHubState(payload: Uint8Array): void {
    const state = payload.byteLength > HUB_STATE_BYTES_MAX ? undefined : parseJson(payload);
    if (!Check(HubState, state)) {
      this.#ignore("bad-hub-state");
      return;
    }
    if (this.#hubTerm !== undefined && state.term < this.#hubTerm) return;
    this.#hubTerm = state.term;
    this.#deps.log.debug({ term: state.term, online: state.online }, "hub state");
  }

  #ignore(reason: string): void {
    this.#deps.metrics.count("flotilla_agent_link_ignored_total", { reason });
  }
}

function parseJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return undefined;
  }
}
