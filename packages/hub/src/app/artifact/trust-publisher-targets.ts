import { openMetadata } from "@flotilla/shared/trust/metadata";
import type { TrustTools } from "@flotilla/shared/trust/ports";
import { fileNameOf } from "@flotilla/shared/trust/publish";
import { TrustError } from "@flotilla/shared/trust/refusal";
import type { TargetEntry } from "@flotilla/shared/trust/shapes";
import { findTarget, type TargetTree } from "@flotilla/shared/trust/targets";
import { startWalk, trustedRoot } from "@flotilla/shared/trust/walk";
import { type Publication, stateOf } from "../../domain/artifact/publish.ts";

/**
 * Targets of one publication, looked up as a node does: by the role in charge of the path. Expiry is not asked: it says when
 * nodes take something new, not what is released. Answers are kept, for each lookup checks signatures.
 */
export class ReleasedTargets {
  readonly #tree: TargetTree;
  readonly #found = new Map<string, TargetEntry | undefined>();

  /** Of a publication that was judged. */
  constructor(publication: Publication, tools: TrustTools) {
    const state = stateOf(publication);
    const metadata = new Map(
      [...publication.roles].map(([role, f]) => [fileNameOf(role, f.version), f.bytes]),
    );
    const walk = startWalk(state, { metadata }, { ms: 0 }, tools);
    const { bytes, subject } = publication.snapshot;
    const snapshot = openMetadata("snapshot", { subject, bytes }, tools);
    this.#tree = { walk, root: trustedRoot(walk), snapshot };
  }

  /** What the role in charge says of the path; undefined when it says nothing. */
  find(path: string): TargetEntry | undefined {
    if (this.#found.has(path)) return this.#found.get(path);
    const entry = this.#look(path);
    this.#found.set(path, entry);
    return entry;
  }

  #look(path: string): TargetEntry | undefined {
    try {
      const found = findTarget(this.#tree, path);
      return found === undefined || "bytesMax" in found ? undefined : found.entry;
    } catch (error) {
      if (error instanceof TrustError) return undefined;
      throw error;
    }
  }
}
