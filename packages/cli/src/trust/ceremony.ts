import { must } from "@flotilla/shared/kernel/assert";
import { type Opened, openMetadata } from "@flotilla/shared/trust/metadata";
import type { SigningTools } from "@flotilla/shared/trust/ports";
import {
  type FileSignature,
  fileBytes,
  type SigningKey,
  signatureOf,
} from "@flotilla/shared/trust/publish";
import { type Quorum, signerCount } from "@flotilla/shared/trust/quorum";
import { type MetadataKind, type SignedOf } from "@flotilla/shared/trust/shapes";
import { topQuorum } from "@flotilla/shared/trust/walk";
import { CliError } from "../domain/errors.ts";
import type { MetadataFolder } from "./metadata-folder.ts";

/** What signing came to. */
export interface SigningResult {
  readonly role: string;
  readonly version: number;
  readonly path: string;
  readonly isPublished: boolean;
  /** Each threshold that counts, and how many of its keys have signed. */
  readonly quorums: readonly {
    readonly of: string;
    readonly signed: number;
    readonly threshold: number;
  }[];
}

/** The kind of a role's file: every role that is not top-level has a targets file. */
export function kindOf(role: string): MetadataKind {
  return role === "root" || role === "snapshot" || role === "timestamp" ? role : "targets";
}

/** Signs in a folder of metadata, and publishes what has its thresholds. */
export class Ceremony {
  readonly #folder: MetadataFolder;
  readonly #tools: SigningTools;

  constructor(deps: { readonly folder: MetadataFolder; readonly tools: SigningTools }) {
    this.#folder = deps.folder;
    this.#tools = deps.tools;
  }

  /** The newest published file of a role, with its signed part. Throws CliError `not-found`. */
  newest<K extends MetadataKind>(kind: K, role: string): Opened<K> {
    const version = role === "timestamp" ? 1 : this.#folder.newestVersion(role);
    if (version === undefined)
      throw new CliError("not-found", `${this.#folder.path} has no file of ${role}`, {
        mend: `flotilla trust init makes them; roles here: ${this.#folder.roles().join(", ") || "none"}`,
      });
    const subject = role === "timestamp" ? "timestamp.json" : `${version}.${role}.json`;
    return openMetadata(kind, { subject, bytes: this.#folder.read(role, version) }, this.#tools);
  }

  /** What waits for signatures, read; undefined when nothing does, or when the version was published since. */
  pending(
    role: string,
  ): { readonly file: Opened<MetadataKind>; readonly bytes: Uint8Array } | undefined {
    const bytes = this.#folder.readPending(role);
    if (bytes === undefined) return undefined;
    const subject = `pending/${role}.json`;
    const file = openMetadata(kindOf(role), { subject, bytes }, this.#tools);
    // Left behind when the program was killed between publishing and this.
    const isPublished = file.signed.version <= (this.#folder.newestVersion(role) ?? 0);
    return isPublished ? undefined : { file, bytes };
  }

  /** Signs a new version with these keys. What is pending for the role is given up. */
  signNew<K extends MetadataKind>(
    kind: K,
    role: string,
    signed: SignedOf[K],
    keys: readonly SigningKey[],
  ): SigningResult {
    const signatures = keys.map((key) => signatureOf(kind, signed, key, this.#tools));
    return this.#finish(role, fileBytes(signed, distinct(signatures)), keys);
  }

  /** Adds signatures to what is pending. */
  signPending(role: string, keys: readonly SigningKey[]): SigningResult {
    const pending = must(this.pending(role), `nothing pending for ${role}`);
    const document: { readonly signatures: readonly FileSignature[] } = JSON.parse(
      new TextDecoder().decode(pending.bytes),
    );
    const { signed } = pending.file;
    const added = keys.map((key) => signatureOf(kindOf(role), signed, key, this.#tools));
    return this.#finish(
      role,
      fileBytes(signed, distinct([...document.signatures, ...added])),
      keys,
    );
  }

  /** How far a file's signatures go, by each threshold that it has to meet. */
  quorumsOf(role: string, file: Opened<MetadataKind>): SigningResult["quorums"] {
    return this.#quorums(role, file).map((quorum) => ({
      of: quorum.of,
      signed: signerCount(quorum, file),
      threshold: quorum.role.threshold,
    }));
  }

  /** Throws CliError `usage` when one of these keys does not speak for a delegated role. */
  requireKeysOf(role: string, keys: readonly SigningKey[]): void {
    this.#requireUseful(role, this.newest("targets", role), keys);
  }

  #finish(role: string, bytes: Uint8Array, keys: readonly SigningKey[]): SigningResult {
    const file = openMetadata(kindOf(role), { subject: `new ${role}`, bytes }, this.#tools);
    this.#requireUseful(role, file, keys);
    const quorums = this.quorumsOf(role, file);
    const isPublished = quorums.every((q) => q.signed >= q.threshold);
    const { version } = file.signed;
    const path = isPublished
      ? this.#folder.publish(role, version, bytes)
      : this.#folder.writePending(role, bytes);
    return { role, version, path, isPublished, quorums };
  }

  /** A key that speaks for nothing here is a slip: its signature would only stand there. */
  #requireUseful(role: string, file: Opened<MetadataKind>, keys: readonly SigningKey[]): void {
    const wanted = new Set(this.#quorums(role, file).flatMap((q) => q.role.keyids));
    const stranger = keys.find((key) => !wanted.has(key.keyId));
    if (stranger !== undefined)
      throw new CliError("usage", `key ${stranger.keyId} does not speak for ${role}`, {
        mend: `--key the file of one of: ${[...wanted].join(", ")}`,
      });
  }

  #quorums(role: string, file: Opened<MetadataKind>): readonly Quorum[] {
    if (role === "root") {
      const next = topQuorum(file as Opened<"root">, "root");
      if (file.signed.version === 1) return [next];
      return [topQuorum(this.newest("root", "root"), "root"), next];
    }
    if (role === "targets" || role === "snapshot" || role === "timestamp")
      return [topQuorum(this.newest("root", "root"), role)];
    const targets = this.newest("targets", "targets");
    const delegation = targets.signed.delegations?.roles.find((r) => r.name === role);
    if (delegation === undefined)
      throw new CliError("not-found", `targets delegates to no role ${role}`, {
        mend: `roles: ${targets.signed.delegations?.roles.map((r) => r.name).join(", ") ?? "none"}`,
      });
    return [
      { keys: targets.signed.delegations?.keys ?? {}, role: delegation, of: targets.subject },
    ];
  }
}

function distinct(signatures: readonly FileSignature[]): readonly FileSignature[] {
  return [...new Map(signatures.map((s) => [s.keyid, s])).values()];
}
