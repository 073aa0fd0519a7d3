import { type Digests, sameBytes } from "@flotilla/shared/delta/digest";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { ArtifactOffer, OfferStep } from "@flotilla/shared/protocol/down/artifact-offer";
import type { TransferEvent, TransferStep } from "../../domain/delivery/transfer.ts";
import type { LocalBlobs } from "../artifact/ports.ts";
import { bytesOfBase64 } from "./link-source.ts";
import type { DeliveryErrorCode, ManifestVerifier } from "./ports.ts";

interface Deps {
  readonly blobs: Pick<LocalBlobs, "has">;
  readonly verifier: ManifestVerifier;
  readonly digests: Digests;
}

export interface CheckedOffer {
  readonly event: Extract<TransferEvent, { readonly kind: "offered" }>;
  /** Those that came within the offer, by their digest, which they have. */
  readonly manifests: ReadonlyMap<string, Uint8Array>;
}

/**
 * An offer that is signed, hangs together and begins with what is here. Nothing of a manifest is parsed yet. Throws
 * `artifact-offer-refused`.
 */
export function checkedOffer(offer: ArtifactOffer, target: string, deps: Deps): CheckedOffer {
  const { blobs, digests } = deps;
  const offered = offer.steps ?? [];
  if (offer.target !== target || offered.at(-1)?.makes !== target)
    throw offerRefused(target, "it makes another file");
  const stepIndex = offered.findLastIndex((step) => blobs.has(step.makes)) + 1;
  const manifests = new Map<string, Uint8Array>();
  const steps = offered.map((step, i): TransferStep => {
    if (!deps.verifier.verifyManifest({ ...step, sha256: step.manifestSha256 }))
      throw offerRefused(target, `manifest ${step.manifestSha256} is not signed by the hub`);
    if (i > 0 && step.base !== offered[i - 1]?.makes)
      throw offerRefused(target, `step ${i + 1} does not begin with what step ${i} makes`);
    const bytes = step.manifest === undefined ? undefined : bytesOfBase64(step.manifest);
    if (bytes !== undefined && hasDigest(bytes, step.manifestSha256, digests))
      manifests.set(step.manifestSha256, bytes);
    else if (step.manifest !== undefined)
      throw offerRefused(target, `manifest ${step.manifestSha256} is not what its digest says`);
    return stored(step);
  });
  const base = steps[stepIndex]?.base;
  if (base !== undefined && !blobs.has(base))
    throw offerRefused(target, `it begins with ${base}, which is not on this node`);
  return { event: { kind: "offered", steps, stepIndex, peers: offer.peers ?? [] }, manifests };
}

function stored(step: OfferStep): TransferStep {
  const { makes, base, manifestSha256, manifestLength, signature, keyId, payloadLength } = step;
  const common = { makes, manifestSha256, manifestLength, signature, keyId, payloadLength };
  return base === undefined ? common : { ...common, base };
}

export function offerRefused(sha256: string, what: string): CodedError<DeliveryErrorCode> {
  return new CodedError("artifact-offer-refused", `an offer for ${sha256} is refused: ${what}`, {
    fields: { sha256 },
    mend: "It is asked again by itself; if it persists, somebody stands between hub and node, or the hub is damaged.",
  });
}

export function hasDigest(bytes: Uint8Array, sha256: string, digests: Digests): boolean {
  return sameBytes(digests.sha256(bytes), bytesOfHex(sha256));
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

function bytesOfHex(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) =>
    Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16),
  );
}
