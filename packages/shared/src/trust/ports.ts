import type { Json } from "../kernel/json.ts";
import type { MetadataKind, TrustKey } from "./shapes.ts";

/** Signatures of one document that was read. */
export interface SignedDocument {
  /** True when the document carries a valid signature by this key under this id. Never throws. */
  isSignedBy(keyId: string, key: TrustKey): boolean;
}

/** What pure code asks of cryptography and of the library for TUF's formats. All of it is a function of its arguments. */
export interface TrustTools {
  /** SHA-256 in lower-case hexadecimal. */
  sha256(bytes: Uint8Array): string;
  /** SHA-256 of the key's canonical JSON. */
  keyIdOf(key: TrustKey): string;
  /** The document's signatures; a sentence when the library cannot read it. Signatures cover the document as it came. */
  openSignatures(kind: MetadataKind, document: Json): SignedDocument | string;
}

/** What making metadata needs beyond reading it. */
export interface SigningTools extends TrustTools {
  /** The bytes that a signature of this signed part covers: its canonical JSON. */
  bytesToSign(kind: MetadataKind, signed: Json): Uint8Array;
}
