import { CodedError } from "../kernel/errors.ts";

/** Why a delta is refused. Nothing of the target counts as written when one of these is thrown. */
export type DeltaErrorCode = "delta-corrupt" | "delta-unsupported" | "delta-wrong-base";

/** The delta is damaged or hostile: `what` names the field and what is wrong with it. */
export function corrupt(what: string): CodedError<DeltaErrorCode> {
  return new CodedError("delta-corrupt", `delta: ${what}`, {
    mend: "fetch the delta again; when it stays so, fetch the full file",
  });
}

/** Made by a newer version, or by none. */
export function unsupported(what: string): CodedError<DeltaErrorCode> {
  return new CodedError("delta-unsupported", `delta: ${what} is not known here`, {
    mend: "update this program, or fetch the full file",
  });
}

/** The file at hand is not the one that the delta was made from. */
export function wrongBase(
  wantedBytes: number,
  foundBytes: number | undefined,
): CodedError<DeltaErrorCode> {
  return new CodedError("delta-wrong-base", "delta: the base on this machine is another file", {
    fields: { wantedBytes, foundBytes },
    mend: "ask for a delta from the version that is here, or fetch the full file",
  });
}
