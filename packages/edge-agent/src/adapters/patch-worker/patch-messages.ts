/** What agent and patch thread say to each other. */

/** What the thread begins with. */
export interface PatchTask {
  readonly manifest: Uint8Array;
  readonly basePath: string | undefined;
  readonly targetPath: string;
  readonly firstBlock: number;
}

/** Of the thread. */
export type PatchEvent =
  /** It waits for these bytes of the payload, which are to lie at the begin of `into`: always the same memory. One at a time. */
  | {
      readonly kind: "read";
      readonly offset: number;
      readonly length: number;
      readonly into: SharedArrayBuffer;
    }
  | { readonly kind: "block"; readonly next: number }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly error: PatchFailure };

/** The answer to `read`: so many bytes lie there. */
export interface PayloadAnswer {
  readonly length: number;
}

/** An error, as far as it can go from one thread to another. */
export interface PatchFailure {
  readonly message: string;
  readonly code?: string;
  readonly mend?: string;
}
