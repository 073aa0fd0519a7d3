import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Service } from "@flotilla/shared/kernel/service";
import { timestamp } from "../../domain/resources/api-object.ts";
import { namespacedKinds } from "../../domain/resources/kind-lookup.ts";
import type { Change, LogEntry, ResourceStore } from "./ports.ts";
import { markedForDeletion } from "./remover.ts";
import { revisionOf } from "./writer.ts";

/** Looks again after this long, should a commit have failed. */
const RESYNC_INTERVAL_MS = 30_000;
/** Objects deleted in one commit. */
const DELETIONS_PER_COMMIT = 500;

/** Empties namespaces that are being deleted, then lets them go. Level-triggered: each pass looks at what is there. */
export class NamespaceCleaner implements Service {
  readonly name = "namespace-cleaner";
  readonly #store: ResourceStore;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(deps: { readonly store: ResourceStore; readonly clock: Clock; readonly log: Log }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  async run(signal: AbortSignal): Promise<void> {
    let wake = (): void => undefined;
    let changed = true;
    const unsubscribe = this.#store.subscribe((entries) => {
      if (!entries.some(matters)) return;
      changed = true;
      wake();
    });
    try {
      while (!signal.aborted) {
        if (changed) {
          changed = false;
          await this.pass();
          continue;
        }
        const woken = new AbortController();
        wake = () => woken.abort();
        const stop = AbortSignal.any([signal, woken.signal]);
        await this.#clock.sleep(RESYNC_INTERVAL_MS, stop).then(
          () => {
            changed = true;
          },
          () => undefined,
        );
      }
    } finally {
      unsubscribe();
    }
  }

  /** One look at every namespace that is being deleted. */
  async pass(): Promise<void> {
    for (const namespace of this.#store.list("Namespace")) {
      if (namespace.metadata.deletionTimestamp === undefined) continue;
      const { name } = namespace.metadata;
      try {
        await this.#empty(name, namespace.metadata.deletionTimestamp);
      } catch (error) {
        this.#log.warn({ namespace: name, reason: messageOf(error) }, "namespace not emptied yet");
      }
    }
  }

  async #empty(namespace: string, sinceIso: string): Promise<void> {
    const nowIso = timestamp(this.#clock.wallMs());
    const content = namespacedKinds().flatMap((kind) =>
      this.#store.list(kind, namespace).map((object) => ({ kind, object })),
    );
    const changes = content
      .filter(
        ({ object }) =>
          object.metadata.deletionTimestamp === undefined ||
          (object.metadata.finalizers ?? []).length === 0,
      )
      .map(({ kind, object }): Change => {
        const key = { kind, namespace, name: object.metadata.name };
        const isHeld = (object.metadata.finalizers ?? []).length > 0;
        const next = isHeld ? markedForDeletion(object, nowIso) : undefined;
        return { key, expect: revisionOf(object), object: next };
      });
    for (let i = 0; i < changes.length; i += DELETIONS_PER_COMMIT)
      await this.#store.commit({ changes: changes.slice(i, i + DELETIONS_PER_COMMIT) });
    if (namespacedKinds().some((kind) => this.#store.list(kind, namespace).length > 0)) return;
    const left = this.#store.get("Namespace", "", namespace);
    if (left?.metadata.deletionTimestamp === undefined) return;
    if ((left.metadata.finalizers ?? []).length > 0) return;
    await this.#store.commit({
      changes: [
        {
          key: { kind: "Namespace", namespace: "", name: namespace },
          expect: revisionOf(left),
          object: undefined,
        },
      ],
    });
    this.#log.info({ namespace, deletedAt: sinceIso }, "namespace deleted");
  }
}

/** A namespace that changed, or something that went out of one. */
function matters(entry: LogEntry): boolean {
  return entry.key.kind === "Namespace" || entry.type === "DELETED" || entry.type === "ADDED";
}
