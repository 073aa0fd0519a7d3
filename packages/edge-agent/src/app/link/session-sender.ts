/**
 * What goes up on one session, strictly in order: a birth when one is due, the pull, answers to log requests, then the
 * outbox in small batches, a heartbeat when it is time, and only then questions. SPEC.md of domain/link has the invariants (8 to 14).
 */
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { Birth } from "@flotilla/shared/protocol/up/birth";
import type { LogChunk } from "@flotilla/shared/protocol/up/log-chunk";
import type { AgentStore, OutboxMessage } from "../state/ports.ts";
import type { Session } from "./ports.ts";
import type { Questions } from "./questions.ts";
import type { Numbered, UpMessages } from "./up-messages.ts";

/** A message that the hub has not acknowledged after this long is the end of the session. */
export const ACK_TIMEOUT_MS = 30_000;
/** Messages of the outbox that are under way at a time, and leave it in one transaction. */
export const OUTBOX_WINDOW = 16;
/** Questions that are sent together. */
export const QUESTION_WINDOW = 4;
/** Log answers that wait; requests beyond are dropped and counted. */
export const LOG_ANSWERS_MAX = 8;

export interface SenderOptions {
  readonly heartbeatMs: number;
  /** The desired state is asked for this often without being told to: a notification can be lost with a hub's crash. */
  readonly pullMs: number;
}

export interface SenderDeps {
  readonly session: Session;
  readonly messages: UpMessages;
  readonly questions: Pick<Questions, "take">;
  readonly store: AgentStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly birth: () => Birth;
  /** The birth is acknowledged. */
  readonly onAnnounced: () => void;
}

/** Sends on one session until it ends. */
export class SessionSender {
  readonly #options: SenderOptions;
  readonly #deps: SenderDeps;
  readonly #answers: { readonly chunk: LogChunk; readonly replyTo: string }[] = [];
  #birthIsDue = false;
  #pullAtMs = Number.POSITIVE_INFINITY;
  /**
   * When the hub last acknowledged something that tells how this node is; the lease at the hub counts from there. Questions do
   * not count: a download must not stand in for a heartbeat.
   */
  #ackedAtMs: number;
  #isOver = false;
  #idle: AbortController | undefined;

  constructor(options: SenderOptions, deps: SenderDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#ackedAtMs = deps.clock.bootMs();
  }

  announce(): void {
    this.#birthIsDue = true;
    this.wake();
  }

  /** Pulls now, or after a wait. */
  pull(inMs = 0): void {
    this.#pullAtMs = Math.min(this.#pullAtMs, this.#deps.clock.bootMs() + inMs);
    this.wake();
  }

  answerLog(chunk: LogChunk, replyTo: string): void {
    if (this.#answers.length >= LOG_ANSWERS_MAX) {
      this.#deps.metrics.count("flotilla_agent_link_ignored_total", { reason: "too-many-logs" });
      return;
    }
    this.#answers.push({ chunk, replyTo });
    this.wake();
  }

  /** There may be something to send. */
  wake(): void {
    this.#idle?.abort();
  }

  /** Resolves when the session has ended. Rejects when the store fails; the session is then closed. */
  async run(): Promise<void> {
    void this.#deps.session.ended.then(() => {
      this.#isOver = true;
      this.wake();
    });
    try {
      while (!this.#isOver) await this.#turn();
    } finally {
      if (!this.#isOver) await this.#deps.session.close();
    }
  }

  async #turn(): Promise<void> {
    const nowMs = this.#deps.clock.bootMs();
    const answer = this.#answers[0];
    if (this.#birthIsDue) await this.#sendBirth();
    else if (nowMs >= this.#pullAtMs) await this.#sendPull(nowMs);
    else if (answer !== undefined) {
      this.#answers.shift();
      await this.#send(this.#deps.messages.numberLog(answer.chunk, answer.replyTo), "log-chunk");
    } else if (!(await this.#sendOutbox())) await this.#sendWhatCanWait(nowMs);
  }

  /** A heartbeat when it is time, else questions, else a rest. */
  async #sendWhatCanWait(nowMs: number): Promise<void> {
    const { messages } = this.#deps;
    const beatAtMs = this.#ackedAtMs + this.#options.heartbeatMs;
    if (nowMs >= beatAtMs)
      await this.#send(messages.number({ kind: "report", body: {} }), "report");
    else if (!(await this.#sendQuestions())) await this.#rest(beatAtMs - nowMs);
  }

  /** False when none waits. */
  async #sendQuestions(): Promise<boolean> {
    const { messages, questions } = this.#deps;
    const batch = questions.take(QUESTION_WINDOW);
    if (batch.length === 0) return false;
    const numbered = batch.flatMap((draft) => {
      const ready = messages.number(draft);
      if (ready === undefined) this.#countUnsendable(draft.kind);
      return ready === undefined ? [] : [ready];
    });
    const ackedAtMs = this.#ackedAtMs;
    await this.#publish(numbered);
    this.#ackedAtMs = ackedAtMs;
    return true;
  }

  async #sendBirth(): Promise<void> {
    const { store, messages, birth, onAnnounced } = this.#deps;
    this.#birthIsDue = false;
    // From here on reports are newer than the birth; those before are part of it.
    store.supersedeReports();
    if (await this.#send(messages.numberBirth(birth()), "birth")) onAnnounced();
  }

  async #sendPull(nowMs: number): Promise<void> {
    const { store, messages } = this.#deps;
    this.#pullAtMs = nowMs + this.#options.pullMs;
    const haveRevision = store.desired()?.state.revision ?? 0;
    const kind = "desired-get";
    await this.#send(messages.number({ kind, body: { haveRevision } }), kind);
  }

  /** False when nothing waits. What is acknowledged leaves the outbox up to the first message that is not. */
  async #sendOutbox(): Promise<boolean> {
    const { store, metrics, messages } = this.#deps;
    metrics.set("flotilla_agent_outbox_messages", store.outboxCount());
    const batch = store.outbox(OUTBOX_WINDOW);
    if (batch.length === 0) return false;
    const numbered = batch.flatMap((message) => {
      const ready = messages.number(message);
      if (ready === undefined) this.#drop(message);
      return ready === undefined ? [] : [{ id: message.id, ready }];
    });
    const acked = await this.#publish(numbered.map((n) => n.ready));
    store.acknowledge(numbered.slice(0, acked).map((n) => n.id));
    return true;
  }

  /** It would be refused for ever, and everything behind it would wait. A birth says what a report would have said. */
  #drop(message: OutboxMessage): void {
    const { store, log } = this.#deps;
    this.#countUnsendable(message.kind);
    log.error({ kind: message.kind, id: message.id }, "a message is too large and is dropped");
    store.acknowledge([message.id]);
    if (message.kind === "report") this.#birthIsDue = true;
  }

  async #rest(beatInMs: number): Promise<void> {
    const { clock } = this.#deps;
    this.#idle = new AbortController();
    const pullInMs = this.#pullAtMs - clock.bootMs();
    await clock.sleep(Math.min(beatInMs, pullInMs), this.#idle.signal).catch(() => undefined);
    this.#idle = undefined;
  }

  async #send(message: Numbered | undefined, kind: Numbered["kind"]): Promise<boolean> {
    if (message !== undefined) return (await this.#publish([message])) === 1;
    this.#countUnsendable(kind);
    this.#deps.log.error({ kind }, "a message is too large and was not sent");
    // Without this the loop would turn without a wait for ever where the message is due at once again.
    await this.#deps.clock.sleep(1_000).catch(() => undefined);
    return false;
  }

  /** How many from the front were acknowledged. Less than all: the session has ended. */
  async #publish(batch: readonly Numbered[]): Promise<number> {
    const { session, metrics } = this.#deps;
    const acks = batch.map((m) => session.publish(m.topic, m.payload, { retain: false }));
    const results = await this.#inTime(Promise.allSettled(acks));
    const firstLost = results.findIndex((r) => r.status === "rejected");
    const acked = firstLost < 0 ? results.length : firstLost;
    for (const { kind } of batch.slice(0, acked))
      metrics.count("flotilla_agent_link_sent_total", { kind });
    if (acked > 0) this.#ackedAtMs = this.#deps.clock.bootMs();
    if (firstLost >= 0) {
      await session.close();
      this.#isOver = true;
    }
    return acked;
  }

  /** Closes the session when the hub takes too long; the acknowledgements are then rejected. */
  async #inTime<T>(acks: Promise<T>): Promise<T> {
    const { clock, session, log } = this.#deps;
    const timer = new AbortController();
    const timeout = clock.sleep(ACK_TIMEOUT_MS, timer.signal).then(
      async () => {
        log.warn(
          { timeoutMs: ACK_TIMEOUT_MS },
          "the hub acknowledged nothing; closing the session",
        );
        await session.close();
      },
      () => undefined,
    );
    const result = await acks;
    timer.abort();
    await timeout;
    return result;
  }

  #countUnsendable(kind: string): void {
    this.#deps.metrics.count("flotilla_agent_link_unsendable_total", { kind });
  }
}
