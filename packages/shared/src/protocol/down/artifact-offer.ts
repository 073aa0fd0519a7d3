import { type Static, Type } from "typebox";
import { Sha256Hex } from "../../model/artifact.ts";
import { OFFER_PEERS_MAX, OFFER_STEPS_MAX } from "../limits.ts";

/** Domain separation of the signature over a manifest's digest. */
export const MANIFEST_SIGNATURE_CONTEXT = "flotilla/delta-manifest/v1\n";

/** One file out of another, or out of nothing: a manifest in the form of docs/delta-format.md. */
export const OfferStep = Type.Object({
  /** SHA-256 of what the step makes; of the last one it is the target. */
  makes: Sha256Hex,
  /** SHA-256 of what it begins from; absent: of nothing. */
  base: Type.Optional(Sha256Hex),
  manifestSha256: Sha256Hex,
  manifestLength: Type.Integer({ minimum: 1, maximum: 4 * 1024 * 1024 }),
  /** Base64; absent: too long for this message. */
  manifest: Type.Optional(Type.String({ maxLength: 262_144 })),
  /** Ed25519 of the hub's signing key over MANIFEST_SIGNATURE_CONTEXT and the digest in hexadecimal; base64. */
  signature: Type.String({ minLength: 88, maxLength: 88 }),
  keyId: Type.String({ minLength: 16, maxLength: 16 }),
  /** Payload: `payloads/<manifestSha256>`. */
  payloadLength: Type.Integer({ minimum: 0 }),
});
export type OfferStep = Static<typeof OfferStep>;

/** Answer to `artifact-get`. */
export const ArtifactOffer = Type.Object({
  target: Sha256Hex,
  status: Type.Union([
    Type.Literal("ready"),
    /** It is being made: ask again after `retryAfterMs`. */
    Type.Literal("pending"),
    /** The hub has no such file. */
    Type.Literal("unknown"),
  ]),
  retryAfterMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 3_600_000 })),
  /** To be carried out one after the other. */
  steps: Type.Optional(Type.Array(OfferStep, { minItems: 1, maxItems: OFFER_STEPS_MAX })),
  /** Bytes of the whole file, to say what was saved. */
  fullBytes: Type.Optional(Type.Integer({ minimum: 0 })),
  /** Nodes of the same site that have or want the same file. */
  peers: Type.Optional(
    Type.Array(
      Type.Object({
        node: Type.String({ maxLength: 63 }),
        host: Type.String({ maxLength: 253 }),
        port: Type.Integer({ minimum: 1, maximum: 65_535 }),
      }),
      { maxItems: OFFER_PEERS_MAX },
    ),
  ),
});
export type ArtifactOffer = Static<typeof ArtifactOffer>;
