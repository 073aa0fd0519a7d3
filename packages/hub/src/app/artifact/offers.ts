import type { Clock } from "@flotilla/shared/kernel/clock";
import { parseQuantity } from "@flotilla/shared/kernel/quantity";
import type { Metrics } from "@flotilla/shared/kernel/service";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { type ArtifactOffer, type OfferStep } from "@flotilla/shared/protocol/down/artifact-offer";
import { OFFER_MANIFEST_BYTES_MAX, OFFER_STEPS_MAX } from "@flotilla/shared/protocol/limits";
import type { ArtifactGet } from "@flotilla/shared/protocol/up/artifact-get";
import {
  type Choice,
  choose,
  type DeltaWork,
  isWorthWaiting,
  type MadeDelta,
  WEIGHTS_FORMATS,
  type Wish,
  wholeProfiles,
  workFor,
} from "../../domain/artifact/choice.ts";
import type { ResourceStore } from "../resources/ports.ts";
import type { DeltaService } from "./delta-service.ts";
import type { ReleaseFiles } from "./offers-files.ts";
import type { SitePeers } from "./offers-peers.ts";
import type { BlobStore, ManifestSigner } from "./ports.ts";

/** Most bytes of manifests in one offer; what is over it is fetched by its digest: 384 KiB, 512 KiB in base64. */
export const OFFER_INLINE_BYTES_MAX: number = 384 * 1024;
/** A node asks again no sooner and no later than this. */
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 60_000;
/** Most nodes of which it is known since when they wait. */
const WAITING_MAX = 50_000;
/** A wait that was broken off this long ago counts from anew: 15 min. */
const WAITING_KEPT_MS = 900_000;

interface Deps {
  readonly store: Pick<ResourceStore, "get">;
  readonly blobs: Pick<BlobStore, "sizeOf">;
  readonly files: ReleaseFiles;
  readonly deltas: DeltaService;
  readonly peers: Pick<SitePeers, "of">;
  readonly signer: ManifestSigner;
  readonly base64: (bytes: Uint8Array) => string;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** Says how a node gets a file: which deltas, or the whole one, and from which nodes of its site. */
export class Offers {
  readonly #deps: Deps;
  /** By node and target: since when the node waits, and when it last asked. */
  readonly #waiting = new Map<string, { readonly sinceBootMs: number; lastBootMs: number }>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The offer. What is missing is made in the background, and the node asked to come again. */
  async offerTo(nodeId: string, request: ArtifactGet): Promise<ArtifactOffer> {
    const { deltas, files } = this.#deps;
    for (const manifestSha256 of request.failed) await deltas.noteFailure(manifestSha256, nodeId);
    const { target } = request;
    const [of] = files.of(target);
    if (of === undefined) return this.#counted({ target, status: "unknown" }, "unknown");
    const site = this.#siteOf(nodeId);
    const wish: Wish = {
      target,
      bases: request.bases,
      memoryBytes: request.memoryBytes,
      failed: new Set(request.failed),
      isMetered: site?.spec.delivery?.metered === true,
      stepsMax: OFFER_STEPS_MAX,
      fileBytes: of.file.length,
      isWeights: WEIGHTS_FORMATS.includes(files.formatOf(of)),
    };
    const underWay = this.#begin(wish);
    const found = this.#choose(wish);
    const pendingMs = this.#pendingMs(
      { nodeId, wish, site, isUrgent: request.isUrgent },
      found?.choice,
      underWay,
    );
    if (found === undefined || pendingMs !== undefined) {
      const retryAfterMs = pendingMs ?? RETRY_MS_MAX;
      this.#noteWaiting(nodeId, target);
      return this.#counted({ target, status: "pending", retryAfterMs }, "pending");
    }
    this.#waiting.delete(waitingKey(nodeId, target));
    const { choice, manifests } = found;
    this.#deps.metrics.count("flotilla_hub_artifact_offered_bytes_total", {}, choice.bytes);
    this.#deps.metrics.count("flotilla_hub_artifact_file_bytes_total", {}, of.file.length);
    const peers = this.#deps.peers.of(nodeId, target);
    const offer: ArtifactOffer = {
      target,
      status: "ready",
      steps: this.#steps(choice.steps, manifests),
      fullBytes: of.file.length,
      ...(peers.length === 0 ? {} : { peers: [...peers] }),
    };
    return this.#counted(offer, choice.kind);
  }

  /** Begins what is missing for this wish. Returns what is being made. */
  #begin(wish: Wish): readonly DeltaWork[] {
    const { deltas, blobs } = this.#deps;
    if (blobs.sizeOf(wish.target) === undefined) return [];
    const missing = workFor(wish, deltas.made(), (base) => this.#isBase(base, wish.target));
    return missing.filter((work) => deltas.want(work, "asked"));
  }

  /** True for a content of the same artifact that the store has: a node cannot have the hub make deltas between anything. */
  #isBase(base: string, target: string): boolean {
    const { blobs, files } = this.#deps;
    const artifacts = files.of(target).map((f) => f.release.spec.artifact);
    return (
      blobs.sizeOf(base) !== undefined &&
      files.of(base).some((f) => artifacts.includes(f.release.spec.artifact))
    );
  }

  /** The best way whose payloads are all there. */
  #choose(
    wish: Wish,
  ): { readonly choice: Choice; readonly manifests: readonly Uint8Array[] } | undefined {
    const { deltas } = this.#deps;
    // Each turn but the last forgets something that is gone.
    for (let turns = deltas.made().length + 1; turns > 0; turns--) {
      const choice = choose(wish, [...deltas.made(), ...this.#standIn(wish)]);
      if (choice === undefined) return undefined;
      const manifests = choice.steps.map((step) => deltas.take(step));
      if (manifests.every((m) => m !== undefined)) return { choice, manifests };
    }
    return undefined;
  }

  /** Where the whole file cannot be made, deltas are compared with its length. It is never chosen itself. */
  #standIn({ target, fileBytes }: Wish): readonly MadeDelta[] {
    const works = wholeProfiles(fileBytes).map((profile) => ({ base: undefined, target, profile }));
    const work = works.find((w) => this.#deps.deltas.hasFailed(w));
    if (work === undefined) return [];
    return [
      {
        ...work,
        manifestSha256: "",
        manifestBytes: 0,
        payloadBytes: fileBytes,
        memoryBytes: 0,
      },
    ];
  }

  /** How long the node is to wait; undefined when it is to take what there is. */
  #pendingMs(
    of: {
      nodeId: string;
      wish: Wish;
      site: ObjectOf<"Site"> | undefined;
      isUrgent: boolean;
    },
    choice: Choice | undefined,
    underWay: readonly DeltaWork[],
  ): number | undefined {
    const { deltas, clock } = this.#deps;
    const expected = (isWanted: (work: DeltaWork) => boolean): number | undefined => {
      const times = underWay.filter(isWanted).flatMap((work) => deltas.expectedMs(work) ?? []);
      return times.length === 0 ? undefined : retryMs(Math.min(...times));
    };
    if (choice === undefined) return expected(() => true);
    if (choice.kind !== "full") return undefined;
    const isPlain = choice.steps[0]?.profile === "plain";
    const expectedMs = expected((work) => work.base !== undefined || isPlain);
    if (expectedMs === undefined) return undefined;
    const since = this.#waiting.get(waitingKey(of.nodeId, of.wish.target));
    const isWorthIt = isWorthWaiting({
      fullBytes: choice.bytes,
      isPatient: of.wish.isMetered || !of.isUrgent,
      bytesPerSecond: speedOf(of.site),
      waitedMs: since === undefined ? 0 : clock.bootMs() - since.sinceBootMs,
      expectedMs,
    });
    return isWorthIt ? expectedMs : undefined;
  }

  #noteWaiting(nodeId: string, target: string): void {
    const key = waitingKey(nodeId, target);
    const nowMs = this.#deps.clock.bootMs();
    const known = this.#waiting.get(key);
    this.#waiting.delete(key);
    const isOld = known === undefined || nowMs - known.lastBootMs > WAITING_KEPT_MS;
    this.#waiting.set(key, { sinceBootMs: isOld ? nowMs : known.sinceBootMs, lastBootMs: nowMs });
    // The first is the one that was quiet for longest.
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > WAITING_MAX && oldest !== undefined) this.#waiting.delete(oldest);
  }

  #steps(steps: readonly MadeDelta[], manifests: readonly Uint8Array[]): OfferStep[] {
    const { signer } = this.#deps;
    let inlineBytes = 0;
    return steps.map((step, i) => {
      const manifest = manifests[i] ?? new Uint8Array();
      const isInline =
        manifest.byteLength <= OFFER_MANIFEST_BYTES_MAX &&
        inlineBytes + manifest.byteLength <= OFFER_INLINE_BYTES_MAX;
      if (isInline) inlineBytes += manifest.byteLength;
      return {
        makes: step.target,
        ...(step.base === undefined ? {} : { base: step.base }),
        manifestSha256: step.manifestSha256,
        manifestLength: manifest.byteLength,
        ...(isInline ? { manifest: this.#deps.base64(manifest) } : {}),
        signature: signer.signManifest(step.manifestSha256),
        keyId: signer.keyId,
        payloadLength: step.payloadBytes,
      };
    });
  }

  #siteOf(nodeId: string): ObjectOf<"Site"> | undefined {
    const node = this.#deps.store.get("EdgeNode", "", nodeId);
    return node && this.#deps.store.get("Site", "", node.spec.site);
  }

  #counted(
    offer: ArtifactOffer,
    kind: "full" | "delta" | "chain" | "pending" | "unknown",
  ): ArtifactOffer {
    this.#deps.metrics.count("flotilla_hub_artifact_offers_total", { kind });
    return offer;
  }
}

function waitingKey(nodeId: string, target: string): string {
  return `${nodeId}/${target}`;
}

function retryMs(expectedMs: number): number {
  return Math.round(Math.min(RETRY_MS_MAX, Math.max(RETRY_MS_MIN, expectedMs)));
}

function speedOf(site: ObjectOf<"Site"> | undefined): number | undefined {
  const text = site?.spec.delivery?.bytesPerSecond;
  return text === undefined ? undefined : parseQuantity(text);
}
