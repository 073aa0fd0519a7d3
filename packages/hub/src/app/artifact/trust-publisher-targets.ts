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
  readonly #publication: Publication;
  readonly #tools: TrustTools;
  #tree: TargetTree | undefined;
  readonly #found = new Map<string, TargetEntry | undefined>();

  /** Of a publication that was judged. */
  constructor(publication: Publication, tools: TrustTools) {
    this.#publication = publication;
    this.#tools = tools;
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
      this.#tree ??= treeOf(this.#publication, this.#tools);
      const found = findTarget(this.#tree, path);
      return found === undefined || "bytesMax" in found ? undefined : found.entry;
    } catch (error) {
      if (error instanceof TrustError) return undefined;
      throw error;
    }
  }
}

/** Throws TrustError where a file is damaged. */
function treeOf(publication: Publication, tools: TrustTools): TargetTree {
  const { roles, snapshot } = publication;
  const metadata = new Map([...roles].map(([role, f]) => [fileNameOf(role, f.version), f.bytes]));
  const walk = startWalk(stateOf(publication), { metadata }, { ms: 0 }, tools);
  return { walk, root: trustedRoot(walk), snapshot };
}
