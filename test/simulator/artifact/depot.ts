import type { ArtifactPin, ReleaseFile } from "@flotilla/shared/model/artifact";
import type { Dice } from "../world/seeds.ts";
import { sha256 } from "../world/signing.ts";

/** What is wrong with a release: who runs with it ends, is never ready, or refuses to take it while it runs. */
export type Flaw = "exits" | "never-ready" | "refuses-reload";
const FLAWS: readonly Flaw[] = ["exits", "never-ready", "refuses-reload"];
/** Share of the releases that have one. */
const FLAW_SHARE = 0.5;
/** Share of those that the hub takes for signed too early. */
const FORESEEN_SHARE = 0.35;
const FILE_NAMES = ["model.bin", "labels.json"] as const;

/** A release as it truly is. */
export interface SimRelease {
  readonly artifact: string;
  readonly version: string;
  readonly counter: number;
  readonly files: readonly ReleaseFile[];
  readonly flaw: Flaw | undefined;
  isStored: boolean;
  isSigned: boolean;
  /** The hub takes it for signed before it is. */
  isForeseen: boolean;
}

/** Of every content. */
export const CONTENT_BYTES = 4_096;

/** Everything that was ever released, outside of every process: the store's contents and the signatures of people. */
export class Depot {
  readonly #releases: SimRelease[] = [];
  readonly #bySha256 = new Map<string, SimRelease>();
  readonly #listeners = new Set<() => void>();

  /** The next release of an artifact: neither stored nor signed. */
  make(artifact: string, dice: Dice, options: { readonly isFine?: boolean } = {}): SimRelease {
    const counter = this.#releases.filter((r) => r.artifact === artifact).length + 1;
    const files = FILE_NAMES.map((path) => {
      const digest = sha256(`${artifact} ${counter} ${path}`);
      return {
        path,
        target: `${artifact}/${counter}/${path}`,
        length: CONTENT_BYTES,
        sha256: digest,
      };
    });
    const release: SimRelease = {
      artifact,
      version: `${counter}.0.0`,
      counter,
      files,
      flaw: options.isFine !== true && dice.chance(FLAW_SHARE) ? dice.pick(FLAWS) : undefined,
      isStored: false,
      isSigned: false,
      isForeseen: dice.chance(FORESEEN_SHARE),
    };
    this.#releases.push(release);
    for (const file of files) this.#bySha256.set(file.sha256, release);
    return release;
  }

  store(release: SimRelease): void {
    release.isStored = true;
    this.#changed();
  }

  sign(release: SimRelease): void {
    release.isSigned = true;
    this.#changed();
  }

  /** Nothing is left half done. */
  finish(): void {
    for (const release of this.#releases) {
      release.isStored = true;
      release.isSigned = true;
    }
    this.#changed();
  }

  /** Called when something was stored or signed. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What this content belongs to. */
  releaseOf(sha256Hex: string): SimRelease | undefined {
    return this.#bySha256.get(sha256Hex);
  }

  isStored(sha256Hex: string): boolean {
    return this.releaseOf(sha256Hex)?.isStored === true;
  }

  /** As people signed it. */
  isSigned({ target, sha256: digest, length }: Omit<ReleaseFile, "path">): boolean {
    const release = this.releaseOf(digest);
    const file = release?.files.find((f) => f.target === target);
    return release?.isSigned === true && file?.sha256 === digest && file.length === length;
  }

  /** The first flaw of what is in these contents. */
  flawOf(contents: Iterable<string>): Flaw | undefined {
    for (const digest of contents) {
      const flaw = this.releaseOf(digest)?.flaw;
      if (flaw !== undefined && flaw !== "refuses-reload") return flaw;
    }
    return undefined;
  }

  /** Whether the workload takes a release while it runs: the release stands in the path that the pin names. */
  takesReload(path: string): boolean {
    const name = path.slice(path.lastIndexOf("/") + 1);
    const release = this.#releases.find((r) => `${r.artifact}-${r.version}` === name);
    return release?.flaw !== "refuses-reload";
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** True when instances with this pin cannot be brought to work. */
export function isBadPin(
  release: Pick<SimRelease, "flaw">,
  { reload }: Pick<ArtifactPin, "reload">,
): boolean {
  return release.flaw === "refuses-reload" ? reload === "http" : release.flaw !== undefined;
}
