import { createHash } from "node:crypto";
import { Key, Metadata, Signature, Timestamp, MetadataKind as TufKind } from "@tufjs/models";
import { messageOf } from "../kernel/errors.ts";
import type { Json } from "../kernel/json.ts";
import type { SignedDocument, SigningTools } from "../trust/ports.ts";
import type { MetadataKind, TrustKey } from "../trust/shapes.ts";

/**
 * TUF's formats, canonical JSON and signatures by @tufjs/models, with what it leaves open shut here and in `trust/`
 * (docs/decisions/0031-trust.md): signatures are checked over the document as it came instead of what the library writes
 * back; its quadratic reading of targets is passed by; thresholds are counted in `trust/quorum.ts`, time in `trust/walk.ts`,
 * paths in `trust/target-path.ts`.
 */
export function tufTools(): SigningTools {
  return { sha256, keyIdOf, openSignatures, bytesToSign };
}

type JsonObject = Record<string, never>;

/** Any signed part, unread: the library takes what it signs and checks from `toJSON`. */
class AsItCame extends Timestamp {
  readonly #document: JsonObject;

  constructor(document: Json) {
    super({ version: 1, specVersion: "1.0.34", expires: "1970-01-01T00:00:00Z" });
    this.#document = document as JsonObject;
  }

  override toJSON(): JsonObject {
    return this.#document;
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function keyIdOf(key: TrustKey): string {
  return sha256(canonicalBytes(key));
}

function bytesToSign(_kind: MetadataKind, signed: Json): Uint8Array {
  return canonicalBytes(signed);
}

/** The library gives its canonical JSON to whoever signs. */
function canonicalBytes(value: unknown): Uint8Array {
  let canonical: Uint8Array = new Uint8Array();
  new Metadata(new AsItCame(value as Json)).sign((bytes) => {
    canonical = bytes;
    return new Signature({ keyID: "none", sig: "" });
  });
  return canonical;
}

function openSignatures(kind: MetadataKind, document: Json): SignedDocument | string {
  const { signed, signatures } = document as unknown as {
    readonly signed: JsonObject;
    readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
  };
  try {
    readByLibrary(kind, signed);
  } catch (error) {
    return messageOf(error);
  }
  const signable = {
    signed: new AsItCame(signed),
    signatures: Object.fromEntries(
      signatures.map(({ keyid, sig }) => [keyid, new Signature({ keyID: keyid, sig })]),
    ),
  };
  // Each check writes the whole document anew: 4,096 lookups in one of 3 MB would take minutes.
  const known = new Map<string, boolean>();
  return {
    isSignedBy: (keyId, key) => {
      if (!Object.hasOwn(signable.signatures, keyId)) return false;
      const name = `${keyId} ${key.keyval.public}`;
      const isSigned = known.get(name) ?? isSignature(keyId, key, signable);
      known.set(name, isSigned);
      return isSigned;
    },
  };
}

function isSignature(
  keyId: string,
  key: TrustKey,
  signable: Parameters<Key["verifySignature"]>[0],
): boolean {
  try {
    Key.fromJSON(keyId, key as unknown as JsonObject).verifySignature(signable);
    return true;
  } catch {
    return false;
  }
}

/** A second reader of the form, without targets: the library needs quadratic time for them, 46 s for 16,000. */
function readByLibrary(kind: MetadataKind, signed: JsonObject): void {
  const part = "targets" in signed ? { ...signed, targets: {} } : signed;
  const document = { signed: part, signatures: [] } as unknown as JsonObject;
  switch (kind) {
    case "root":
      return void Metadata.fromJSON(TufKind.Root, document);
    case "timestamp":
      return void Metadata.fromJSON(TufKind.Timestamp, document);
    case "snapshot":
      return void Metadata.fromJSON(TufKind.Snapshot, document);
    case "targets":
      return void Metadata.fromJSON(TufKind.Targets, document);
  }
}
