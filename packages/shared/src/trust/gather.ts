import { decide } from "./decide.ts";
import { GATHER_FILES_MAX } from "./limits.ts";
import type { TrustTools } from "./ports.ts";
import { refusalOf, TrustError } from "./refusal.ts";
import type { Decision, OfferedFiles, TrustState } from "./state.ts";

/** Where metadata comes from: a hub, a mirror, a folder. */
export interface MetadataSource {
  /** The file of this name, at most this long; "absent" where the source has none. Throws when it cannot be asked. */
  fetch(file: string, bytesMax: number): Promise<Uint8Array | "absent">;
}

/** A decision that asks for nothing more. */
export type FinalDecision = Exclude<Decision, { readonly kind: "needs" }>;

/** Trusted time that is known once the roots are walked: one of them may name another key that tells it. */
export type TimeAfterRoots = (state: TrustState) => Promise<number | undefined>;

/** What is to be decided. */
export interface GatherQuestion {
  readonly stored: TrustState;
  readonly order?: NonNullable<OfferedFiles["order"]>;
  /** As of `decide`. A function is asked once, and only after that anything is accepted. */
  readonly nowMs: number | undefined | TimeAfterRoots;
  /** Called with what is to be stored, after each step. Absent: whoever calls takes it from the decision. */
  readonly onState?: (state: TrustState) => void;
  /** Files of the same source that came in for another decision; what is fetched is added. */
  readonly metadata?: Map<string, Uint8Array | "absent">;
}

/**
 * Asks a source for one file after the other until there is a decision. Files that were asked for stay as they came, so that a
 * source cannot show two faces within one decision. Should fetching throw, the walk begins anew from what was stored.
 */
export async function gather(
  question: GatherQuestion,
  source: MetadataSource,
  tools: TrustTools,
): Promise<FinalDecision> {
  const { order, onState } = question;
  const metadata = question.metadata ?? new Map<string, Uint8Array | "absent">();
  const files: OfferedFiles = order === undefined ? { metadata } : { metadata, order };
  let askTime = typeof question.nowMs === "function" ? question.nowMs : undefined;
  let nowMs = typeof question.nowMs === "function" ? undefined : question.nowMs;
  let state = question.stored;
  for (let count = 0; count < GATHER_FILES_MAX; count++) {
    const decision = decide(state, files, nowMs, tools);
    if (askTime !== undefined && !isOnRoots(decision)) {
      nowMs = await askTime(decision.state);
      askTime = undefined;
      continue;
    }
    state = decision.state;
    onState?.(state);
    if (decision.kind === "accepted") return decision;
    if (decision.kind === "refused" && decision.code !== "root-chain-too-long") return decision;
    if (decision.kind === "needs")
      metadata.set(decision.file, await source.fetch(decision.file, decision.bytesMax));
  }
  const tooMany = new TrustError("root-chain-too-long", {
    subject: "metadata",
    message: `more than ${GATHER_FILES_MAX} files for one decision`,
    mend: "Nothing to do if they are real: the next try goes on from here.",
  });
  return { kind: "refused", state, ...refusalOf(tooMany) };
}

function isOnRoots(decision: Decision): boolean {
  return decision.kind === "needs"
    ? decision.file.endsWith(".root.json")
    : decision.kind === "refused" && decision.code === "root-chain-too-long";
}
