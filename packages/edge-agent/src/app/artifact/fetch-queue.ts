import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { Random } from "@flotilla/shared/kernel/random";
import { fullJitterMs, type RetrySchedule } from "@flotilla/shared/kernel/retry";
import type { Log } from "@flotilla/shared/kernel/service";
import type { ReleaseFile } from "@flotilla/shared/model/artifact";
import type { BlobFetcher } from "./ports.ts";

/** Most contents that are fetched at once, of those that an instance waits for, and as many of the others. */
export const FETCHES_AT_ONCE_MAX = 2;
/** Wait after the n-th failure in a row of one content. */
export const FETCH_RETRY: RetrySchedule = { baseMs: 5_000, capMs: 300_000 };

/** A content that is to be here. */
export interface WantedContent {
  readonly file: ReleaseFile;
  readonly bases: readonly string[];
  readonly isUrgent: boolean;
  /** Fetched before anything needs it. */
  readonly isAhead: boolean;
}

interface UnderWay {
  readonly stop: AbortController;
  readonly isUrgent: boolean;
  readonly done: PromiseWithResolvers<void>;
  doneBytes: number;
}

/** Why a content is not here yet. */
export interface FetchFailure {
  readonly code: string;
  readonly message: string;
  readonly tries: number;
  readonly retryAtBootMs: number;
}

interface FetchQueueDeps {
  readonly fetcher: BlobFetcher;
  readonly clock: Pick<Clock, "bootMs">;
  readonly random: Random;
  readonly log: Log;
  readonly onFetched: (content: WantedContent) => void;
  /** A fetch has ended, or has got on. */
  readonly onChange: () => void;
}

/** Fetches what is wanted, so much at a time, urgent things first; lets go of what is not wanted any more. */
export class FetchQueue {
  readonly #deps: FetchQueueDeps;
  readonly #underWay = new Map<string, UnderWay>();
  readonly #failures = new Map<string, FetchFailure>();

  constructor(deps: FetchQueueDeps) {
    this.#deps = deps;
  }

  /** Everything that is wanted now, the most important first. Each content once. */
  want(contents: readonly WantedContent[], signal: AbortSignal): void {
    const wanted = onceEach(contents);
    for (const [sha256, { isUrgent, stop }] of this.#underWay) {
      const now = wanted.get(sha256);
      // What has become urgent begins anew, where it was, without waiting for a window.
      if (now === undefined || (now.isUrgent && !isUrgent)) stop.abort(noLonger());
    }
    for (const sha256 of this.#failures.keys())
      if (!wanted.has(sha256)) this.#failures.delete(sha256);
    for (const isUrgent of [true, false])
      for (const content of wanted.values())
        if (content.isUrgent === isUrgent && this.#hasRoom(isUrgent) && this.#isDue(content))
          void this.#fetch(content, signal);
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await Promise.all([...this.#underWay.values()].map((fetch) => fetch.done.promise));
  }

  /** Bytes of a content that are here already, as far as is known. */
  doneBytesOf(sha256: string): number {
    return this.#underWay.get(sha256)?.doneBytes ?? 0;
  }

  failureOf(sha256: string): FetchFailure | undefined {
    return this.#failures.get(sha256);
  }

  /** Boot clock of the next try of what failed; undefined when there is none. */
  nextTryBootMs(): number | undefined {
    const times = [...this.#failures]
      .filter(([sha256]) => !this.#underWay.has(sha256))
      .map(([, failure]) => failure.retryAtBootMs);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  #hasRoom(isUrgent: boolean): boolean {
    const same = [...this.#underWay.values()].filter((f) => f.isUrgent === isUrgent);
    return same.length < FETCHES_AT_ONCE_MAX;
  }

  #isDue({ file }: WantedContent): boolean {
    if (this.#underWay.has(file.sha256)) return false;
    const failure = this.#failures.get(file.sha256);
    return failure === undefined || this.#deps.clock.bootMs() >= failure.retryAtBootMs;
  }

  async #fetch(content: WantedContent, signal: AbortSignal): Promise<void> {
    const { fetcher, log, onChange, onFetched } = this.#deps;
    const { bases, file, isUrgent } = content;
    const { length, sha256, target: path } = file;
    const stop = new AbortController();
    const own: UnderWay = { stop, isUrgent, doneBytes: 0, done: Promise.withResolvers() };
    this.#underWay.set(sha256, own);
    const until = AbortSignal.any([signal, stop.signal]);
    const onProgress = (doneBytes: number): void => {
      own.doneBytes = Math.min(doneBytes, length);
    };
    try {
      await fetcher.fetch({ path, length, sha256 }, { isUrgent, bases, onProgress, signal: until });
      this.#failures.delete(sha256);
      onFetched(content);
    } catch (error) {
      if (!until.aborted) {
        const code = error instanceof CodedError ? error.code : "failed";
        log.warn({ target: path, code, err: error }, "a file could not be fetched; tried again");
        this.#failed(sha256, code, messageOf(error));
      }
    } finally {
      this.#underWay.delete(sha256);
      own.done.resolve();
      onChange();
    }
  }

  #failed(sha256: string, code: string, message: string): void {
    const { clock, random } = this.#deps;
    const tries = (this.#failures.get(sha256)?.tries ?? 0) + 1;
    const waitMs = FETCH_RETRY.baseMs / 2 + fullJitterMs(FETCH_RETRY, tries - 1, random);
    this.#failures.set(sha256, { code, message, tries, retryAtBootMs: clock.bootMs() + waitMs });
  }
}

/** Each content once: the first who wants it, and urgent when anybody cannot wait. */
function onceEach(contents: readonly WantedContent[]): ReadonlyMap<string, WantedContent> {
  const wanted = new Map<string, WantedContent>();
  for (const content of contents) {
    const first = wanted.get(content.file.sha256);
    if (first === undefined || (content.isUrgent && !first.isUrgent))
      wanted.set(content.file.sha256, content);
  }
  return wanted;
}

function noLonger(): DOMException {
  return new DOMException("nobody waits for it any more", "AbortError");
}
