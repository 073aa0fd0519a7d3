import { must } from "../kernel/assert.ts";
import { decide, firstState } from "../trust/decide.ts";
import type { SigningTools } from "../trust/ports.ts";
import { withInstalled } from "../trust/receipt.ts";
import type { Decision, OfferedFiles, TrustState, WantedFile } from "../trust/state.ts";
import { releaseOf, TufRepository } from "./tuf-repository.ts";

/** Start of the laboratory's time: 2026-11-25T00:00:00Z. */
export const LAB_START_MS: number = 1_795_564_800_000;

/**
 * A repository with releases 1 and 2 of `detector`, and a node that has installed release 1. Attacks begin here: they
 * alter what the node is offered, and `node` says what it makes of it.
 */
export class TrustLab {
  readonly tools: SigningTools;
  readonly repository: TufRepository;
  state: TrustState;

  constructor(deps: { readonly tools: SigningTools }) {
    this.tools = deps.tools;
    this.repository = new TufRepository({ nowMs: LAB_START_MS }, deps);
    const seed = must(this.repository.files.get("1.root.json"), "a root") as Uint8Array;
    const first = firstState(seed, LAB_START_MS, deps.tools);
    this.state = must(first.kind === "accepted" ? first.state : undefined, "a sound first root");
    this.repository.release(releaseOf("detector", 1));
    this.repository.publish();
    this.install(1);
    this.repository.release(releaseOf("detector", 2));
    this.repository.publish();
  }

  /** Both files of a release, as the hub wants them. */
  wanted(releaseCounter: number): readonly WantedFile[] {
    return releaseOf("detector", releaseCounter).map(({ path }) => this.repository.wanted(path));
  }

  /** What the node decides, by the repository's clock; it keeps the state. */
  node(files: OfferedFiles, nowMs: number | undefined = this.repository.nowMs): Decision {
    const decision = decide(this.state, files, nowMs, this.tools);
    this.state = decision.state;
    return decision;
  }

  /** The node takes a release of `detector` from the honest repository, and installs it. */
  install(releaseCounter: number): Decision {
    const revision = this.state.orderRevision + 1;
    const decision = this.node(this.repository.offer(this.wanted(releaseCounter), { revision }));
    if (decision.kind === "accepted") this.state = withInstalled(this.state, decision.install);
    return decision;
  }

  /** The order that the node would follow next. */
  get nextRevision(): number {
    return this.state.orderRevision + 1;
  }

  /** Days go by on every clock. */
  pass(days: number): void {
    this.repository.nowMs += days * 86_400_000;
  }
}
