import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { DownBodies, DownMessage } from "@flotilla/shared/protocol/down";
import type { ArtifactGet } from "@flotilla/shared/protocol/up/artifact-get";
import type { BytesGet } from "@flotilla/shared/protocol/up/bytes-get";
import type { UpDraft } from "./up-messages.ts";

/** Questions that wait or are under way; one more is refused with `link-busy`. */
export const QUESTIONS_MAX = 32;

/** Why a question got no answer. */
export type QuestionErrorCode =
  /** There is no session with the hub, or it ended first. */
  | "link-down"
  /** The hub said nothing in time. */
  | "link-timeout"
  /** QUESTIONS_MAX wait already. */
  | "link-busy";

/** What the hub can be asked. Nothing of it is durable: who asks, asks again. */
export type Question =
  | { readonly kind: "artifact-get"; readonly body: ArtifactGet }
  | { readonly kind: "bytes-get"; readonly body: BytesGet };

const ANSWER_KINDS = { "artifact-get": "artifact-offer", "bytes-get": "bytes" } as const;

export type AnswerOf<Q extends Question> = DownBodies[(typeof ANSWER_KINDS)[Q["kind"]]];

export interface AskOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

interface Open {
  readonly answerKind: DownMessage["kind"];
  readonly resolve: (body: DownMessage["body"]) => void;
  readonly reject: (error: unknown) => void;
}

interface Deps {
  readonly clock: Pick<Clock, "sleep">;
  readonly random: Random;
  /** There is something to send. */
  readonly wake: () => void;
}

/** Questions of one session and who waits for their answers. */
export class Questions {
  readonly #deps: Deps;
  readonly #open = new Map<string, Open>();
  #waiting: UpDraft[] = [];
  #isOver = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async ask<Q extends Question>(question: Q, options: AskOptions): Promise<AnswerOf<Q>> {
    options.signal.throwIfAborted();
    if (this.#isOver) throw linkDown();
    if (this.#open.size >= QUESTIONS_MAX)
      throw new CodedError<QuestionErrorCode>(
        "link-busy",
        `${QUESTIONS_MAX} questions to the hub wait already`,
      );
    const id = uuid(this.#deps.random, "link.question");
    const answer = Promise.withResolvers<DownMessage["body"]>();
    const answerKind = ANSWER_KINDS[question.kind];
    this.#open.set(id, { answerKind, resolve: answer.resolve, reject: answer.reject });
    this.#waiting.push({ ...question, id });
    this.#deps.wake();
    const ended = new AbortController();
    const until = AbortSignal.any([ended.signal, options.signal]);
    void this.#deps.clock.sleep(options.timeoutMs, until).then(
      () => answer.reject(timedOut(question.kind, options.timeoutMs)),
      () => answer.reject(options.signal.reason),
    );
    try {
      // `answered` compares the kind, and the codec has checked the body of that kind.
      return (await answer.promise) as AnswerOf<Q>;
    } finally {
      ended.abort();
      this.#open.delete(id);
      this.#waiting = this.#waiting.filter((draft) => draft.id !== id);
    }
  }

  /** What is to be sent next, at most so many. */
  take(countMax: number): readonly UpDraft[] {
    return this.#waiting.splice(0, countMax);
  }

  /** False when nobody waits for it, or it answers something else. */
  answered(message: DownMessage): boolean {
    const open = this.#open.get(message.replyTo ?? "");
    if (open?.answerKind !== message.kind) return false;
    open.resolve(message.body);
    return true;
  }

  /** The session is over: nothing will be answered any more. */
  end(): void {
    this.#isOver = true;
    for (const { reject } of this.#open.values()) reject(linkDown());
  }
}

export function linkDown(): CodedError<QuestionErrorCode> {
  return new CodedError("link-down", "there is no session with the hub", {
    mend: "It is tried again by itself; see `flotilla-agent status`.",
  });
}

function timedOut(kind: Question["kind"], timeoutMs: number): CodedError<QuestionErrorCode> {
  return new CodedError("link-timeout", `the hub did not answer ${kind} within ${timeoutMs} ms`, {
    fields: { kind, timeoutMs },
    mend: "It is asked again by itself; look at the hub's load if it persists.",
  });
}
