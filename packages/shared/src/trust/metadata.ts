import { type Static, type TSchema, Type } from "typebox";
import { Check, Errors } from "typebox/value";
import { parseIsoTimeMs } from "../kernel/iso-time.ts";
import type { Json } from "../kernel/json.ts";
import {
  ROOT_BYTES_MAX,
  SNAPSHOT_BYTES_MAX,
  TARGETS_BYTES_MAX,
  TIMESTAMP_BYTES_MAX,
} from "./limits.ts";
import type { SignedDocument, TrustTools } from "./ports.ts";
import { TrustError } from "./refusal.ts";
import {
  type MetadataKind,
  RootSigned,
  Signatures,
  type SignedOf,
  SnapshotSigned,
  TargetsSigned,
  TimestampSigned,
} from "./shapes.ts";
import { readStrictJson } from "./strict-json.ts";

const SCHEMAS: { readonly [K in MetadataKind]: TSchema } = {
  root: RootSigned,
  timestamp: TimestampSigned,
  snapshot: SnapshotSigned,
  targets: TargetsSigned,
};

/** Largest file of each kind that is read, in bytes. */
const BYTES_MAX_OF: Readonly<Record<MetadataKind, number>> = {
  root: ROOT_BYTES_MAX,
  timestamp: TIMESTAMP_BYTES_MAX,
  snapshot: SNAPSHOT_BYTES_MAX,
  targets: TARGETS_BYTES_MAX,
};

/** Names that mean something else than a delegated role. */
const TOP_LEVEL_ROLES: readonly string[] = ["root", "timestamp", "snapshot", "targets"];

/** A file that was read; nothing says yet that anybody has signed it. */
export interface Opened<K extends MetadataKind> {
  /** File name, for messages. */
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly signed: SignedOf[K];
  readonly expiresMs: number;
  readonly signatures: SignedDocument;
}

/**
 * Bytes → a file of this kind. Size, JSON and shape are judged, in this order, before any signature is looked at.
 * Throws TrustError `metadata-too-large`, `metadata-malformed` or `key-duplicated`.
 */
export function openMetadata<K extends MetadataKind>(
  kind: K,
  file: { readonly subject: string; readonly bytes: Uint8Array },
  tools: TrustTools,
): Opened<K> {
  const document = readStrictJson(file.subject, file.bytes, BYTES_MAX_OF[kind]);
  const shape = Type.Object({ signed: SCHEMAS[kind], signatures: Signatures });
  if (!Check(shape, document)) throw malformed(file.subject, firstError(shape, document));
  const { signed, signatures } = document as unknown as {
    readonly signed: SignedOf[K];
    readonly signatures: Static<typeof Signatures>;
  };
  const expiresMs = parseIsoTimeMs(signed.expires);
  if (expiresMs === undefined) throw malformed(file.subject, "/signed/expires is no time");
  if (new Set(signatures.map((s) => s.keyid)).size !== signatures.length)
    throw malformed(file.subject, "/signatures name a key twice");
  if (signed._type === "targets") checkDelegations(file.subject, signed);
  checkKeys(file.subject, signed, tools);
  const opened = tools.openSignatures(kind, document as Json);
  if (typeof opened === "string") throw malformed(file.subject, opened);
  return { ...file, signed, expiresMs, signatures: opened };
}

function checkDelegations(subject: string, { delegations }: TargetsSigned): void {
  const names = delegations?.roles.map((role) => role.name) ?? [];
  const taken = names.find(
    (name, i) => TOP_LEVEL_ROLES.includes(name) || names.indexOf(name) !== i,
  );
  if (taken !== undefined)
    throw malformed(subject, `/signed/delegations/roles: the name ${taken} is taken`);
}

/**
 * A key id is the SHA-256 of the key, and a public key stands once: else one holder could be counted as two. Points of small
 * order, and spellings beyond the field, are keys for which anybody can sign.
 */
function checkKeys(subject: string, signed: SignedOf[MetadataKind], tools: TrustTools): void {
  const keys =
    signed._type === "root"
      ? signed.keys
      : signed._type === "targets"
        ? (signed.delegations?.keys ?? {})
        : {};
  const seen = new Map<string, string>();
  for (const [id, key] of Object.entries(keys)) {
    const twin = seen.get(key.keyval.public);
    if (twin !== undefined)
      throw new TrustError("key-duplicated", {
        subject,
        message: `keys ${twin} and ${id} are the same public key`,
        mend: "Sign a version in which every key stands once; whoever made this one wanted to be counted twice.",
      });
    seen.set(key.keyval.public, id);
    if (isWeakPoint(key.keyval.public))
      throw malformed(subject, `key ${id} is no sound Ed25519 key`);
    if (tools.keyIdOf(key) !== id)
      throw malformed(subject, `key ${id} is not named by its SHA-256`);
  }
}

/** Little-endian y of the points of order 1, 2, 4 and 8 (Bernstein and others, "Ed25519"), sign bit cleared. */
const SMALL_ORDER_Y: ReadonlySet<string> = new Set([
  `00${"00".repeat(31)}`,
  `01${"00".repeat(31)}`,
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  `ec${"ff".repeat(30)}7f`,
]);

function isWeakPoint(publicHex: string): boolean {
  const top = Number.parseInt(publicHex.slice(62), 16) & 0x7f;
  const y = publicHex.slice(0, 62) + top.toString(16).padStart(2, "0");
  const isBeyondField = /^(?:ed|ee|ef|f[0-9a-f])(?:ff){30}7f$/.test(y);
  return isBeyondField || SMALL_ORDER_Y.has(y);
}

function firstError(schema: TSchema, value: unknown): string {
  const error = Errors(schema, value)[0];
  return error === undefined ? "of another form" : `${error.instancePath || "/"} ${error.message}`;
}

function malformed(subject: string, message: string): TrustError {
  return new TrustError("metadata-malformed", {
    subject,
    message,
    mend: "Correct the named field and sign again, or get the file again from the publisher.",
  });
}
