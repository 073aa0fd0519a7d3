import { CodedError } from "@flotilla/shared/kernel/errors";

/** Why a command ended; each code has its exit status below. docs/cli.md lists them for users. */
export type CliErrorCode =
  | "usage"
  | "not-found"
  | "unauthorized"
  | "conflict"
  | "timeout"
  | "partly-done"
  | "invalid"
  | "unreachable"
  | "failed";

/** Exit statuses of `flotilla`; Ctrl-C ends it by the signal, which a shell shows as 130. */
export const EXIT_STATUS: Readonly<Record<CliErrorCode, number>> = {
  failed: 1,
  invalid: 1,
  unreachable: 1,
  usage: 2,
  "not-found": 3,
  unauthorized: 4,
  conflict: 5,
  timeout: 6,
  "partly-done": 7,
};

/** A failure of a command: what, why (`fields.why`) and the mend. */
export class CliError extends CodedError<CliErrorCode> {
  override readonly name = "CliError";
}

/** The three lines of an error: what happened, why, what to do. The last two only when there is something to say. */
export function errorLines(error: CodedError): string[] {
  const why = error.fields["why"];
  return [
    `error: ${error.message}`,
    ...(typeof why === "string" && !error.message.includes(why) ? [`why: ${why}`] : []),
    ...(error.mend === undefined ? [] : [`try: ${error.mend}`]),
  ];
}
