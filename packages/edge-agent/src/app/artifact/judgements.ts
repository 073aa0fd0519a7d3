import type { Clock } from "@flotilla/shared/kernel/clock";
import type { DesiredState } from "@flotilla/shared/model/desired-state";
import type { SetVerdict } from "../../domain/artifact/artifact-plan.ts";
import type { SetDigest } from "../../domain/artifact/artifact-sets.ts";
import { releaseKey } from "../../domain/artifact/trust-order.ts";
import type { TrustGate, TrustVerdict } from "./ports.ts";

/** What was accepted and is still on its way is asked about again after this long: it may have been withdrawn. */
export const JUDGEMENT_AGE_MS_MAX = 3_600_000;

interface Judged {
  /** What was asked about. */
  readonly set: string;
  readonly verdict: TrustVerdict;
  readonly askAgainBootMs: number;
}

interface JudgementsDeps {
  readonly trust: Pick<TrustGate, "judge">;
  readonly setOf: SetDigest;
  readonly clock: Pick<Clock, "bootMs">;
  /** Target paths of the files that an instance has now. */
  readonly active: (instanceId: string) => ReadonlySet<string>;
}

/** Answers of the trust gate, by instance and by prestaged release, as long as they are about what is wanted. */
export class Judgements {
  readonly #deps: JudgementsDeps;
  readonly #instances = new Map<string, Judged>();
  readonly #releases = new Map<string, Judged>();

  constructor(deps: JudgementsDeps) {
    this.#deps = deps;
  }

  ofInstance(id: string, set: string): SetVerdict | undefined {
    const judged = this.#instances.get(id);
    return judged?.set === set ? judged.verdict : undefined;
  }

  ofRelease(release: { readonly name: string; readonly counter: number }): SetVerdict | undefined {
    return this.#releases.get(releaseKey(release))?.verdict;
  }

  /** True when the gate is to be asked about one of these: it has not been, or its answer is to be asked for again. */
  isDue(instances: ReadonlyMap<string, string>, releases: readonly string[]): boolean {
    const nowMs = this.#deps.clock.bootMs();
    const isOpen = (judged: Judged | undefined): boolean =>
      judged === undefined || nowMs >= judged.askAgainBootMs;
    const isInstanceOpen = ([id, set]: readonly [string, string]): boolean => {
      const judged = this.#instances.get(id);
      return isOpen(judged?.set === set ? judged : undefined);
    };
    return (
      [...instances].some(isInstanceOpen) || releases.some((key) => isOpen(this.#releases.get(key)))
    );
  }

  /** Asks about a whole state. */
  async ask(state: DesiredState, signal: AbortSignal): Promise<void> {
    const { active, clock, setOf, trust } = this.#deps;
    const judgement = await trust.judge({ state, active }, signal);
    const nowMs = clock.bootMs();
    const sets = new Map(state.instances.map((i) => [i.id, setOf(i.artifacts)]));
    this.#instances.clear();
    this.#releases.clear();
    for (const [id, verdict] of judgement.instances)
      this.#instances.set(id, judged(sets.get(id) ?? "", verdict, nowMs));
    for (const [key, verdict] of judgement.prestaged)
      this.#releases.set(key, judged(key, verdict, nowMs));
  }
}

function judged(set: string, verdict: TrustVerdict, nowMs: number): Judged {
  const afterMs = verdict.kind === "accepted" ? JUDGEMENT_AGE_MS_MAX : verdict.retryAfterMs;
  return { set, verdict, askAgainBootMs: nowMs + afterMs };
}
