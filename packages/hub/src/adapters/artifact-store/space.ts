import { CodedError } from "@flotilla/shared/kernel/errors";
import type { ArtifactStoreErrorCode } from "../../app/artifact/ports.ts";

/** How many bytes the contents take, how many open uploads will need, and how many there may be. */
export class Space {
  readonly quotaBytes: number;
  #storedBytes = 0;
  readonly #reserved = new Map<string, number>();
  #reservedBytes = 0;

  constructor(options: { readonly quotaBytes: number }) {
    this.quotaBytes = options.quotaBytes;
  }

  get storedBytes(): number {
    return this.#storedBytes;
  }

  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  get usedBytes(): number {
    return this.#storedBytes + this.#reservedBytes;
  }

  add(bytes: number): void {
    this.#storedBytes += bytes;
  }

  subtract(bytes: number): void {
    this.#storedBytes -= bytes;
  }

  /** Holds room for an upload; once for each. Returns the refusal when there is not enough. */
  reserve(sha256: string, bytes: number): CodedError<ArtifactStoreErrorCode> | undefined {
    const held = this.#reserved.get(sha256) ?? 0;
    if (this.usedBytes - held + bytes > this.quotaBytes) return this.#refusal(bytes);
    this.#hold(sha256, bytes);
    return undefined;
  }

  release(sha256: string): void {
    this.#reservedBytes -= this.#reserved.get(sha256) ?? 0;
    this.#reserved.delete(sha256);
  }

  /** What uploads that were begun before this start will need; it is held whether or not there is room. */
  restore(uploads: readonly { readonly sha256: string; readonly bytes: number }[]): void {
    for (const sha256 of this.#reserved.keys()) this.release(sha256);
    for (const { sha256, bytes } of uploads) this.#hold(sha256, bytes);
  }

  #hold(sha256: string, bytes: number): void {
    this.release(sha256);
    this.#reserved.set(sha256, bytes);
    this.#reservedBytes += bytes;
  }

  #refusal(bytes: number): CodedError<ArtifactStoreErrorCode> {
    const { quotaBytes, usedBytes } = this;
    return new CodedError(
      "artifact-quota",
      `${bytes} bytes do not fit: ${usedBytes} of ${quotaBytes} bytes are used by contents and open uploads`,
      {
        fields: { bytes, usedBytes, quotaBytes },
        mend: "Delete releases that nothing uses, or give the hub a larger artifactQuotaBytes.",
      },
    );
  }
}
