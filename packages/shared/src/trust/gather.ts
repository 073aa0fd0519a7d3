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

/**
 * Asks a source for one file after the other until there is a decision. Files that were asked for stay as they came, so that a
 * source cannot show two faces within one decision. Whoever calls stores the state of the decision, and, should fetching
 * throw, nothing: the walk begins anew.
 */
export async function gather(
  question: {
    readonly stored: TrustState;
    readonly order?: NonNullable<OfferedFiles["order"]>;
    readonly nowMs: number | undefined;
  },
  source: MetadataSource,
  tools: TrustTools,
): Promise<FinalDecision> {
  const { order, nowMs } = question;
  const metadata = new Map<string, Uint8Array | "absent">();
  const files: OfferedFiles = order === undefined ? { metadata } : { metadata, order };
  let state = question.stored;
  for (let count = 0; count < GATHER_FILES_MAX; count++) {
    const decision = decide(state, files, nowMs, tools);
    state = decision.state;
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
