import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { ArtifactOffer } from "@flotilla/shared/protocol/down/artifact-offer";
import type { ArtifactLink, LocalBlobs } from "../artifact/ports.ts";
import type { DeliveryErrorCode } from "./ports.ts";

/** So often an offer may be pending in one try. */
export const PENDING_ASKS_MAX = 240;
/** Bounds of what the hub may ask to wait for an offer. */
const PENDING_MS_MIN = 1_000;
const PENDING_MS_MAX = 300_000;
/** Most bases that the hub is told of. */
const BASES_MAX = 16;

interface Deps {
  readonly link: ArtifactLink;
  readonly blobs: Pick<LocalBlobs, "has">;
  readonly clock: Clock;
}

/** The file, and what is said of it with each question. */
interface About {
  readonly sha256: string;
  readonly bases: readonly string[];
  readonly isUrgent: () => boolean;
  /** Manifests that failed here. */
  readonly failed: () => readonly string[];
  readonly gate: (signal: AbortSignal) => Promise<void>;
  readonly pause: () => void;
  readonly signal: AbortSignal;
}

/** How a file can be had is asked of the hub, and asked again while the hub prepares it. */
export class OfferQuestion {
  readonly #memoryBytes: number;
  readonly #deps: Deps;
  readonly #about: About;

  constructor(options: { readonly memoryBytes: number }, deps: Deps, about: About) {
    this.#memoryBytes = options.memoryBytes;
    this.#deps = deps;
    this.#about = about;
  }

  /** One question and its answer. Rejects as the link does. */
  ask(signal: AbortSignal): Promise<ArtifactOffer> {
    const { sha256, bases, isUrgent, failed } = this.#about;
    const request = {
      target: sha256,
      bases: bases.filter((base) => this.#deps.blobs.has(base)).slice(0, BASES_MAX),
      memoryBytes: this.#memoryBytes,
      isUrgent: isUrgent(),
      failed: [...failed()],
    };
    return this.#deps.link.offer(request, signal);
  }

  /** An offer that is ready. Rejects with `artifact-unknown`, or with `artifact-pending` after PENDING_ASKS_MAX questions. */
  async answer(): Promise<ArtifactOffer> {
    const { sha256, gate, pause, signal } = this.#about;
    for (let asked = 0; asked < PENDING_ASKS_MAX; asked++) {
      await gate(signal);
      const offer = await this.ask(signal);
      if (offer.status === "ready") return offer;
      if (offer.status === "unknown")
        throw new CodedError<DeliveryErrorCode>(
          "artifact-unknown",
          `the hub has no file ${sha256}`,
          {
            fields: { sha256 },
            mend: "Push the release again; see `flotilla artifact describe`.",
          },
        );
      const waitMs = offer.retryAfterMs ?? PENDING_MS_MIN;
      const boundedMs = Math.min(PENDING_MS_MAX, Math.max(PENDING_MS_MIN, waitMs));
      pause();
      await this.#deps.clock.sleep(boundedMs, signal);
    }
    throw new CodedError<DeliveryErrorCode>(
      "artifact-pending",
      `the hub still prepares ${sha256}, after ${PENDING_ASKS_MAX} questions`,
      { fields: { sha256 }, mend: "It is asked again by itself; look at the hub's delta workers." },
    );
  }
}
