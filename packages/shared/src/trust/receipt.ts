import type { Refusal } from "./refusal.ts";
import { refusalOf, TrustError } from "./refusal.ts";
import type { InstalledRelease, TrustedTarget, TrustState } from "./state.ts";

/** What a node writes down at the installation of a file, in the transaction that makes it active. */
export interface Receipt {
  readonly path: string;
  readonly length: number;
  readonly sha256: string;
  readonly artifact: string;
  readonly releaseCounter: number;
  /** By which metadata it was trusted. */
  readonly role: string;
  readonly rootVersion: number;
  readonly targetsVersion: number;
  readonly installedAtMs: number;
}

/** Bytes as they were found or came in. */
export interface MeasuredFile {
  readonly length: number;
  readonly sha256: string;
}

export type Verdict = { readonly kind: "ok" } | ({ readonly kind: "refused" } & Refusal);

/** The receipt of an installed target. */
export function receiptOf(target: TrustedTarget, installedAtMs: number): Receipt {
  const { path, length, sha256, role, rootVersion, targetsVersion, custom } = target;
  const { artifact, releaseCounter } = custom;
  return {
    path,
    length,
    sha256,
    artifact,
    releaseCounter,
    role,
    rootVersion,
    targetsVersion,
    installedAtMs,
  };
}

/** The state after these targets were installed: the newest release of each artifact that was ever here. */
export function withInstalled(state: TrustState, targets: readonly TrustedTarget[]): TrustState {
  const installed = new Map<string, InstalledRelease>(state.installed);
  for (const { custom, path } of targets) {
    const newest = installed.get(custom.artifact)?.releaseCounter ?? 0;
    if (custom.isDelta !== true && custom.releaseCounter > newest)
      installed.set(custom.artifact, { releaseCounter: custom.releaseCounter, path });
  }
  return { ...state, installed };
}

/**
 * Whether an installed file may be started, restarted or gone back to: its bytes against its receipt. There is no time in it
 * and no metadata: what expires never stops what runs.
 */
export function mayRun(receipt: Receipt, found: MeasuredFile): Verdict {
  return verdictOf(() => requireBytes(receipt, found));
}

/** Whether a downloaded or patched file is the target that was signed for. Asked before it is activated, whatever its source. */
export function checkTarget(target: TrustedTarget, found: MeasuredFile): Verdict {
  return verdictOf(() => requireBytes(target, found));
}

/** Runs a check of this folder and returns its refusal as data. */
export function verdictOf(check: () => void): Verdict {
  try {
    check();
    return { kind: "ok" };
  } catch (error) {
    return { kind: "refused", ...refusalOf(error) };
  }
}

function requireBytes(signed: MeasuredFile & { readonly path: string }, found: MeasuredFile): void {
  const about = (message: string): { subject: string; message: string; mend: string } => ({
    subject: signed.path,
    message,
    mend: "Fetch the file whole from another source; a source that goes on sending other bytes is broken or lies.",
  });
  const lengths = `${found.length} bytes, ${signed.length} are signed for`;
  if (found.length > signed.length) throw new TrustError("target-too-long", about(lengths));
  if (found.length < signed.length) throw new TrustError("target-too-short", about(lengths));
  if (found.sha256 !== signed.sha256)
    throw new TrustError(
      "target-altered",
      about(`digest ${found.sha256}, ${signed.sha256} is signed for`),
    );
}
