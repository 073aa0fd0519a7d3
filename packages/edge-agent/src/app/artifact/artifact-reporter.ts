import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type {
  DesiredArtifact,
  ReleaseFile,
  ReportedArtifacts,
} from "@flotilla/shared/model/artifact";
import type { DesiredState } from "@flotilla/shared/model/desired-state";
import { heldReleases, isWithoutArtifacts, knownReleases } from "../../domain/artifact/holdings.ts";
import {
  ledgerOf,
  type PrestageLedger,
  withFetchedAhead,
  withTaken,
} from "../../domain/artifact/prestage.ts";
import type { LocalBlobs, SlotStore, TrustGate } from "./ports.ts";
import type { SlotBook } from "./slot-book.ts";

/** How often what lies on the disk is counted anew when nothing is known to have changed. */
export const HOLDINGS_INTERVAL_MS = 60_000;

interface ReporterDeps {
  readonly desired: () => DesiredState | undefined;
  readonly book: SlotBook;
  readonly blobs: Pick<LocalBlobs, "has" | "list">;
  readonly store: Pick<SlotStore, "memo" | "putMemo">;
  readonly trust: Pick<TrustGate, "report" | "keepReceipts">;
  /** Where other nodes reach this one's blocks; undefined: it serves none. */
  readonly peer: () => ReportedArtifacts["peer"];
  readonly clock: Pick<Clock, "bootMs">;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** What the node has of artifacts, and what came of fetching ahead. Counted when something changed, not at each report. */
export class ArtifactReporter {
  readonly #deps: ReporterDeps;
  #ledger: PrestageLedger | undefined;
  #holdings: Pick<ReportedArtifacts, "held" | "bytes"> = { held: [], bytes: 0 };
  #isStale = true;
  #revision: number | undefined;
  #countedBootMs = 0;

  constructor(deps: ReporterDeps) {
    this.#deps = deps;
  }

  /**
   * What is told; undefined: nothing of artifacts was ever here. A node that serves others says so before it has anything: who asks
   * for the first release of a site must learn of them all.
   */
  report(): ReportedArtifacts | undefined {
    const { book, desired, peer, trust } = this.#deps;
    const address = peer();
    const isWithout = isWithoutArtifacts(book.all(), desired()) && this.#holdings.bytes === 0;
    if (isWithout && address === undefined) return undefined;
    const { hits, hitBytes } = this.#prestage();
    const trusted = trust.report();
    return {
      ...this.#holdings,
      ...(hits === 0 ? {} : { prestageHits: hits, prestageHitBytes: hitBytes }),
      ...(address === undefined ? {} : { peer: address }),
      ...(trusted === undefined ? {} : { trust: trusted }),
    };
  }

  /** Something on the disk is another thing now. */
  look(): void {
    this.#isStale = true;
  }

  /** Counts again where that is due. */
  refresh(): void {
    const { blobs, book, clock, desired, metrics, trust } = this.#deps;
    const nowMs = clock.bootMs();
    const state = desired();
    const isDue =
      this.#isStale ||
      state?.revision !== this.#revision ||
      nowMs - this.#countedBootMs >= HOLDINGS_INTERVAL_MS;
    if (!isDue) return;
    const held = blobs.list();
    const bytes = held.reduce((sum, blob) => sum + blob.lengthBytes, 0);
    const known = knownReleases(book.all(), state);
    this.#holdings = {
      held: [...heldReleases(known, (sha256) => blobs.has(sha256))],
      bytes,
    };
    this.#isStale = false;
    this.#revision = state?.revision;
    this.#countedBootMs = nowMs;
    metrics.set("flotilla_agent_artifact_bytes", bytes);
    const files = known.flatMap((release) => release.files.map((file) => file.sha256));
    trust.keepReceipts(new Set([...held.map((blob) => blob.sha256), ...files]));
  }

  /** Contents of all known releases of an artifact, the likeliest base first. */
  contentsOf(artifact: string): readonly string[] {
    const known = knownReleases(this.#deps.book.all(), this.#deps.desired());
    const files = known.filter((r) => r.name === artifact).flatMap((r) => r.files);
    return [...new Set(files.map((file) => file.sha256))];
  }

  fetchedAhead(file: ReleaseFile): void {
    this.#write(withFetchedAhead(this.#prestage(), file));
  }

  /** An instance has got these. */
  taken(artifacts: readonly DesiredArtifact[]): void {
    const { metrics } = this.#deps;
    const before = this.#prestage();
    const after = withTaken(before, artifacts);
    if (after === before) return;
    this.#write(after);
    metrics.count("flotilla_agent_prestage_hits_total", {}, after.hits - before.hits);
    metrics.count("flotilla_agent_prestage_hit_bytes_total", {}, after.hitBytes - before.hitBytes);
  }

  #prestage(): PrestageLedger {
    this.#ledger ??= ledgerOf(this.#deps.store.memo("prestage"));
    return this.#ledger;
  }

  /** Only counts hang on it: what cannot be written is said and goes on. */
  #write(ledger: PrestageLedger): void {
    this.#ledger = ledger;
    try {
      this.#deps.store.putMemo("prestage", ledger);
    } catch (error) {
      this.#deps.log.warn({ err: error }, "what was fetched ahead could not be noted");
    }
  }
}
