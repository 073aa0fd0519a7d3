import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { type NodeId, parseNodeId } from "@flotilla/shared/kernel/ids";
import type { Random } from "@flotilla/shared/kernel/random";
import { fullJitterMs, type RetrySchedule } from "@flotilla/shared/kernel/retry";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { DesiredState } from "@flotilla/shared/model/desired-state";
import { HEARTBEAT_INTERVAL_MS } from "@flotilla/shared/model/lease";
import type { Codec } from "@flotilla/shared/protocol/codec";
import type { LogGet } from "@flotilla/shared/protocol/down/log-get";
import { downTopic, HUB_STATE_TOPIC } from "@flotilla/shared/protocol/topics";
import type { Birth } from "@flotilla/shared/protocol/up/birth";
import type { LogChunk } from "@flotilla/shared/protocol/up/log-chunk";
import { PROTOCOL_VERSION } from "@flotilla/shared/protocol/version";
import type { DesiredRefusal } from "../../domain/link/desired.ts";
import {
  INITIAL_LINK_STATE,
  type LinkEffect,
  type LinkEvent,
  type LinkPhase,
  type LinkState,
  stepLink,
} from "../../domain/link/machine.ts";
import type { AgentStore } from "../state/ports.ts";
import { DownHandler } from "./down-handler.ts";
import type {
  CredentialStore,
  Credentials,
  Link,
  Session,
  SessionEnd,
  SessionOptions,
  SignatureVerifier,
} from "./ports.ts";
import { type AnswerOf, type AskOptions, linkDown, type Question, Questions } from "./questions.ts";
import { SessionSender } from "./session-sender.ts";
import { UpMessages } from "./up-messages.ts";

/** Wait before the n-th try to connect: full jitter below base·2^n. */
export const BACK_OFF: RetrySchedule = { baseMs: 1_000, capMs: 120_000 };
/** A ping after this long without a word from the hub; half of it later the session is over: 30 s without a FIN. */
export const KEEPALIVE_SECONDS = 20;
export const CONNECT_TIMEOUT_MS = 20_000;
/** Messages kept that come before the session is handed out; it is the retained hub state. */
const EARLY_MESSAGES_MAX = 4;
/** The desired state is asked for at least this often. */
export const PULL_INTERVAL_MS = 300_000;

export interface LinkServiceOptions {
  readonly backOff?: RetrySchedule;
  readonly keepaliveSeconds?: number;
  readonly connectTimeoutMs?: number;
  readonly heartbeatMs?: number;
  readonly pullMs?: number;
}

/** What the agent knows of itself. */
export type BirthFacts = Omit<Birth, "protocolVersion">;

export interface LinkServiceDeps {
  readonly link: Link;
  readonly store: AgentStore;
  readonly credentials: Pick<CredentialStore, "load">;
  readonly codec: Pick<Codec, "decodeDown">;
  readonly verifier: SignatureVerifier;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Called after the state is durable. */
  readonly onDesiredAccepted: (state: DesiredState) => void;
  readonly onLogGet: (request: LogGet) => Promise<LogChunk>;
  readonly birthFacts: () => BirthFacts;
  /** The hub does not accept the certificate. */
  readonly onUnauthorized: () => void;
}

export interface LinkStatus {
  readonly phase: LinkPhase;
  /** Boot clock of the last change of the phase. */
  readonly sinceBootMs: number;
  readonly hubTerm?: number;
  /** Why the last session ended or could not be opened. */
  readonly lastEnd?: SessionEnd;
  readonly outboxCount: number;
}

interface Inbound {
  readonly topic: string;
  readonly payload: Uint8Array;
}

interface Live {
  readonly session: Session;
  readonly sender: SessionSender;
  readonly down: DownHandler;
  readonly questions: Questions;
}

/** Keeps a session with the hub and carries what goes up and comes down. Holds no rule: domain/link decides. */
export class LinkService implements Service {
  readonly name = "link";
  readonly #options: Required<LinkServiceOptions>;
  readonly #deps: LinkServiceDeps;
  readonly #noticedBootMs = new Map<DesiredRefusal, number>();
  readonly #tasks = new Set<Promise<void>>();
  #state: LinkState = INITIAL_LINK_STATE;
  #sinceBootMs: number;
  #lastEnd: SessionEnd | undefined;
  #live: Live | undefined;
  #waiting: AbortController | undefined;
  /** Ends what is being opened, and what is open, when the service stops. */
  #stopping = new AbortController();
  #failed: ((error: unknown) => void) | undefined;

  constructor(options: LinkServiceOptions, deps: LinkServiceDeps) {
    this.#options = {
      backOff: options.backOff ?? BACK_OFF,
      keepaliveSeconds: options.keepaliveSeconds ?? KEEPALIVE_SECONDS,
      connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      heartbeatMs: options.heartbeatMs ?? HEARTBEAT_INTERVAL_MS,
      pullMs: options.pullMs ?? PULL_INTERVAL_MS,
    };
    this.#deps = deps;
    this.#sinceBootMs = deps.clock.bootMs();
  }

  /** The outbox has got something. */
  wake(): void {
    this.#live?.sender.wake();
  }

  /**
   * Asks the hub, and resolves with the body of its answer. Rejects with `link-down` without a session, or when it ends,
   * `link-timeout`, `link-busy` when too many wait; with the signal's reason when aborted.
   */
  ask<Q extends Question>(question: Q, options: AskOptions): Promise<AnswerOf<Q>> {
    if (this.#live === undefined || this.#state.phase !== "online")
      return Promise.reject(linkDown());
    return this.#live.questions.ask(question, options);
  }

  /** The credentials have changed: a new session takes the place of the present one, without a wait. */
  reconnect(): void {
    this.#apply({ kind: "reconnect" });
  }

  /** True from the opening of a session, which begins with a birth, to its end. */
  hasSession(): boolean {
    return this.#live !== undefined;
  }

  status(): LinkStatus {
    const hubTerm = this.#live?.down.hubTerm;
    return {
      phase: this.#state.phase,
      sinceBootMs: this.#sinceBootMs,
      outboxCount: this.#deps.store.outboxCount(),
      ...(hubTerm === undefined ? {} : { hubTerm }),
      ...(this.#lastEnd === undefined ? {} : { lastEnd: this.#lastEnd }),
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const failure = Promise.withResolvers<never>();
    const stopped = Promise.withResolvers<void>();
    this.#failed = failure.reject;
    this.#state = INITIAL_LINK_STATE;
    this.#stopping = new AbortController();
    const onAbort = (): void => stopped.resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) stopped.resolve();
    this.#apply({ kind: "start" });
    try {
      await Promise.race([stopped.promise, failure.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#apply({ kind: "stop" });
      this.#waiting?.abort();
      if (this.#live === undefined) this.#stopping.abort();
      while (this.#tasks.size > 0) await Promise.allSettled(this.#tasks);
    }
  }

  #apply(event: LinkEvent): void {
    const { clock, metrics, log } = this.#deps;
    const before = this.#state.phase;
    const step = stepLink(this.#state, event);
    this.#state = step.state;
    if (step.state.phase !== before) {
      this.#sinceBootMs = clock.bootMs();
      metrics.set("flotilla_agent_link_online", step.state.phase === "online" ? 1 : 0);
      log.debug({ from: before, to: step.state.phase, event: event.kind }, "link");
    }
    for (const effect of step.effects) this.#do(effect);
  }

  #do(effect: LinkEffect): void {
    switch (effect.kind) {
      case "open":
        this.#waiting?.abort();
        this.#start(this.#open());
        return;
      case "announce":
        this.#live?.sender.announce();
        return;
      case "pull":
        this.#deps.log.info({ epoch: this.#deps.store.epoch }, "online");
        this.#live?.sender.pull();
        return;
      case "back-off":
        this.#start(this.#backOff(effect.attempt));
        return;
      case "renew":
        this.#deps.onUnauthorized();
        return;
      case "close":
        if (this.#live !== undefined) this.#start(this.#live.session.close());
        return;
    }
  }

  /** A rejection is a bug, or a store that fails: the supervisor starts the service again. */
  #start(task: Promise<void>): void {
    const tracked: Promise<void> = task
      .catch((error: unknown) => this.#failed?.(error))
      .finally(() => this.#tasks.delete(tracked));
    this.#tasks.add(tracked);
  }

  async #backOff(attempt: number): Promise<void> {
    const { clock, random, log } = this.#deps;
    const waitMs = fullJitterMs(this.#options.backOff, attempt, random);
    log.info({ waitMs, attempt, end: this.#lastEnd }, "waiting before the next session");
    const waiting = new AbortController();
    this.#waiting = waiting;
    await clock.sleep(waitMs, waiting.signal).catch(() => undefined);
    if (!waiting.signal.aborted) this.#apply({ kind: "retry" });
  }

  async #open(): Promise<void> {
    const { link, credentials, metrics } = this.#deps;
    const own = credentials.load();
    const nodeId = own === undefined ? undefined : parseNodeId(own.nodeId);
    if (own === undefined || nodeId === undefined) {
      this.#openFailed({ kind: "unauthorized", detail: "this node is not enrolled" });
      return;
    }
    const messages = new UpMessages(own, this.#deps);
    const early: Inbound[] = [];
    let live: Live | undefined;
    const opened = await link.open(
      this.#sessionOptions(own, nodeId, messages),
      (topic, payload) => {
        // Retained messages come with the subscription, before the session is handed out.
        if (live !== undefined) this.#receive(live, { topic, payload });
        else if (early.length < EARLY_MESSAGES_MAX) early.push({ topic, payload });
      },
      this.#stopping.signal,
    );
    if (!opened.ok) {
      this.#openFailed(opened.end);
      return;
    }
    metrics.count("flotilla_agent_link_sessions_total", { outcome: "opened" });
    live = this.#makeLive(opened.session, own.nodeId, messages);
    await this.#serve(live, early);
  }

  #sessionOptions(own: Credentials, nodeId: NodeId, messages: UpMessages): SessionOptions {
    return {
      url: own.mqttUrl,
      nodeId,
      certificate: own.certificate,
      privateKey: own.privateKey,
      caCertificate: own.caCertificate,
      will: messages.death(this.#deps.birthFacts().bootId),
      subscriptions: [downTopic({ shard: own.shard, nodeId }), HUB_STATE_TOPIC],
      keepaliveSeconds: this.#options.keepaliveSeconds,
      connectTimeoutMs: this.#options.connectTimeoutMs,
    };
  }

  #openFailed(end: SessionEnd): void {
    this.#deps.metrics.count("flotilla_agent_link_sessions_total", { outcome: end.kind });
    this.#lastEnd = end;
    this.#apply({ kind: "failed", end: end.kind });
  }

  #makeLive(session: Session, nodeId: string, messages: UpMessages): Live {
    const questions = new Questions({ ...this.#deps, wake: () => sender.wake() });
    const sender: SessionSender = new SessionSender(this.#options, {
      ...this.#deps,
      session,
      messages,
      questions,
      birth: () => ({ protocolVersion: PROTOCOL_VERSION, ...this.#deps.birthFacts() }),
      onAnnounced: () => this.#apply({ kind: "announced" }),
    });
    const down = new DownHandler(
      { nodeId, noticedBootMs: this.#noticedBootMs },
      {
        ...this.#deps,
        onRebirth: () => this.#apply({ kind: "rebirth" }),
        pull: (inMs) => sender.pull(inMs),
        answerLog: (chunk, replyTo) => sender.answerLog(chunk, replyTo),
        answered: (message) => questions.answered(message),
        wake: () => sender.wake(),
      },
    );
    return { session, sender, down, questions };
  }

  /** From the opened session to its end. */
  async #serve(live: Live, early: readonly Inbound[]): Promise<void> {
    const { clock, log } = this.#deps;
    const openedMs = clock.bootMs();
    this.#live = live;
    this.#apply({ kind: "opened" });
    for (const message of early) this.#receive(live, message);
    try {
      await live.sender.run();
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      log.error(
        { error: error.message, code: error.code },
        "the session was closed: the store fails",
      );
    }
    this.#lastEnd = await live.session.ended;
    this.#live = undefined;
    live.questions.end();
    const lastedMs = clock.bootMs() - openedMs;
    this.#apply({ kind: "ended", end: this.#lastEnd.kind, lastedMs });
  }

  #receive(live: Live, message: Inbound): void {
    try {
      live.down.receive(message.topic, message.payload);
    } catch (error) {
      if (error instanceof CodedError)
        this.#deps.log.error(
          { error: messageOf(error) },
          "a message of the hub could not be handled",
        );
      else this.#failed?.(error);
    }
  }
}
