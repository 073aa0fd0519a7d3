import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { Metrics, Service } from "@flotilla/shared/kernel/service";
import type { KindName } from "@flotilla/shared/model/kinds";
import { NOTICES, type NoticeKind, withNotice } from "../../domain/conditions/unattended.ts";
import { changeOf } from "../control/change.ts";
import { PassLoop } from "../control/pass-loop.ts";
import { concerns } from "../control/relevance.ts";
import type { AnyObject, ResourceStore } from "../resources/ports.ts";

// Object.keys of a literal has exactly the literal's keys.
const KINDS_SEEN = Object.keys(NOTICES) as readonly NoticeKind[];

/** Tells users of kinds that are accepted but not (or not fully) acted on, in a status condition, that this is so. */
export class NoticeController implements Service {
  readonly name = "notice";
  readonly #deps: NoticeDeps;
  readonly #loop: PassLoop;

  constructor(
    options: { readonly resyncMs?: number; readonly coalesceMs?: number },
    deps: NoticeDeps,
  ) {
    this.#deps = deps;
    this.#loop = new PassLoop(
      { ...options, name: this.name },
      {
        ...deps,
        isRelevant: (e) => concerns(e, KINDS_SEEN satisfies readonly KindName[]),
        pass: () => this.pass(),
      },
    );
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#loop.run(signal);
  }

  /** One look at all objects of these kinds. Rejects when the store fails. */
  async pass(): Promise<void> {
    const { store, clock } = this.#deps;
    const nowIso = isoTime(clock.wallMs());
    for (const kind of KINDS_SEEN)
      for (const object of store.list(kind)) {
        const after: AnyObject | undefined = withNotice(kind, object, nowIso);
        if (after !== undefined) await store.commit({ changes: [changeOf(object, after)] });
      }
  }
}

interface NoticeDeps {
  readonly store: ResourceStore;
  readonly clock: Clock;
  readonly metrics: Metrics;
}
