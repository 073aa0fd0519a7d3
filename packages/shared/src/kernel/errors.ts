/**
 * An expected failure with a code from a closed set, the fields that explain it and, where there is one, the mend.
 * `Code` is a union of string literals per package; docs/errors.md lists every code.
 */
export class CodedError<Code extends string = string> extends Error {
  override readonly name: string = "CodedError";
  readonly code: Code;
  /** Values that explain the error; never a secret. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** What the reader can do about it, one sentence. */
  readonly mend: string | undefined;

  constructor(
    code: Code,
    message: string,
    details: { fields?: Readonly<Record<string, unknown>>; mend?: string; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.fields = details.fields ?? {};
    this.mend = details.mend;
  }
}

/** True for a CodedError that carries this code. */
export function hasCode<Code extends string>(
  error: unknown,
  code: Code,
): error is CodedError<Code> {
  return error instanceof CodedError && error.code === code;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
