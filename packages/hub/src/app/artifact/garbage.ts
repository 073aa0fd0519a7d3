import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { DeltaIndex } from "./delta-service-index.ts";
import type { NeededContents } from "./needed.ts";
import type { BlobStore, PayloadStore, StoredBlob } from "./ports.ts";

/** Sizes are told, and it is seen whether it is time for a collection, this often. */
export const ARTIFACT_SIZES_MS = 10_000;
/** Contents that nothing names are looked for this often. */
export const ARTIFACT_GARBAGE_MS = 600_000;
/** A content that nothing names is kept for a day after it came, or after somebody wanted to upload it: its Release may be on its way. */
export const ARTIFACT_GRACE_MS = 86_400_000;
/** When nothing at all is needed, for a week: a database that was lost looks like that, until it is restored. */
export const ARTIFACT_GRACE_EMPTY_MS: number = 7 * 86_400_000;

interface Deps {
  readonly blobs: BlobStore;
  readonly payloads: PayloadStore;
  readonly needed: Pick<NeededContents, "contents">;
  readonly deltas: Pick<DeltaIndex, "made" | "drop">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Removes contents that nothing names any more, and deltas from or to what is gone; tells how much is stored. */
export class ArtifactGarbage implements Service {
  readonly name = "artifact-garbage";
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    // Not at once: controllers have to have seen everything first.
    let dueMs = clock.bootMs() + ARTIFACT_GARBAGE_MS;
    while (!signal.aborted) {
      this.tellSizes();
      await clock.sleep(ARTIFACT_SIZES_MS, signal).catch(() => undefined);
      if (signal.aborted || clock.bootMs() < dueMs) continue;
      dueMs = clock.bootMs() + ARTIFACT_GARBAGE_MS;
      await this.collect().catch((error: unknown) => {
        log.warn({ reason: messageOf(error) }, "contents could not be removed; tried again later");
      });
    }
  }

  /** One collection. Rejects when the disk fails; what could be removed is gone then. */
  async collect(): Promise<void> {
    const { blobs, clock, log, metrics } = this.#deps;
    const needed = this.#deps.needed.contents();
    const graceMs = needed.size === 0 ? ARTIFACT_GRACE_EMPTY_MS : ARTIFACT_GRACE_MS;
    const beforeMs = clock.wallMs() - graceMs;
    const unneeded = blobs.list().filter((b) => !needed.has(b.sha256) && b.storedWallMs < beforeMs);
    // All at once: between the look at what is needed and a removal nobody may come to need it.
    const removals = await Promise.allSettled(
      unneeded.map(async (blob) =>
        (await blobs.remove(blob.sha256, beforeMs)) ? blob : undefined,
      ),
    );
    const removed = removals.flatMap((r): readonly StoredBlob[] =>
      r.status === "fulfilled" && r.value !== undefined ? [r.value] : [],
    );
    const bytes = removed.reduce((sum, blob) => sum + blob.bytes, 0);
    metrics.count("flotilla_hub_artifact_garbage_total", { part: "contents" }, removed.length);
    metrics.count("flotilla_hub_artifact_garbage_bytes_total", {}, bytes);
    if (removed.length > 0) log.info({ count: removed.length, bytes }, "contents removed");
    await this.#collectDeltas();
    this.tellSizes();
    const failure = removals.find((r) => r.status === "rejected");
    if (failure !== undefined) throw failure.reason;
  }

  tellSizes(): void {
    const { blobs, payloads, metrics } = this.#deps;
    metrics.set("flotilla_hub_artifact_stored", blobs.list().length, { part: "contents" });
    metrics.set("flotilla_hub_artifact_stored", payloads.list().length, { part: "payloads" });
    metrics.set("flotilla_hub_artifact_used_bytes", blobs.usedBytes, { part: "contents" });
    metrics.set("flotilla_hub_artifact_used_bytes", payloads.usedBytes, { part: "payloads" });
    metrics.set("flotilla_hub_artifact_quota_bytes", blobs.quotaBytes, { part: "contents" });
    metrics.set("flotilla_hub_artifact_quota_bytes", payloads.quotaBytes, { part: "payloads" });
  }

  /** A delta is of no use when its target is gone, and of none when its base is: what no node holds is no longer kept as one. */
  async #collectDeltas(): Promise<void> {
    const { blobs, deltas, metrics } = this.#deps;
    const isGone = (sha256: string): boolean => blobs.sizeOf(sha256) === undefined;
    for (const delta of deltas.made()) {
      const { base, target } = delta;
      if (!isGone(target) && (base === undefined || !isGone(base))) continue;
      await deltas.drop(delta);
      metrics.count("flotilla_hub_artifact_garbage_total", { part: "payloads" });
    }
  }
}
