import { DURATION_PATTERN, parseDurationMs } from "@flotilla/shared/kernel/duration";
import { CliError } from "../domain/errors.ts";
import type { Io } from "../output/io.ts";
import { formatObject, parseOutput } from "../output/objects.ts";
import type { SigningResult } from "./ceremony.ts";

/** Terminal and form of the answer of one `trust` command. */
export interface TrustIo {
  readonly io: Io;
  readonly output: string | undefined;
}

/** Life of a new version by role, in days; every other role is a delegated one. */
const LIFE_DAYS: Readonly<Record<string, number>> = {
  root: 365,
  targets: 365,
  snapshot: 7,
  timestamp: 1,
};
const DELEGATED_LIFE_DAYS = 90;
const DAY_MS = 86_400_000;

/** When a version that is signed now expires. `expiresIn` is a duration; absent: what fits the role. */
export function expiryOf({ io }: TrustIo, role: string, expiresIn?: string): number {
  if (expiresIn === undefined)
    return io.nowMs() + (LIFE_DAYS[role] ?? DELEGATED_LIFE_DAYS) * DAY_MS;
  const lifeMs = parseDurationMs(expiresIn);
  if (lifeMs === undefined || lifeMs <= 0)
    throw new CliError("usage", `--expires-in ${expiresIn} is no duration`, {
      mend: `for example 90d or 12h (${DURATION_PATTERN}), at most ten years`,
    });
  return io.nowMs() + lifeMs;
}

/** Writes an answer as an object or as text. */
export function tell({ io, output }: TrustIo, object: object, text: () => string): void {
  const form = parseOutput(output);
  io.out(form === "json" || form === "yaml" ? formatObject({ ...object }, form) : text());
}

/** What signing came to, and who has to sign yet. */
export function tellSigned(trustIo: TrustIo, result: SigningResult, hint?: string): void {
  tell(trustIo, result, () => {
    const missing = result.quorums
      .filter((q) => q.signed < q.threshold)
      .map((q) => `${q.threshold - q.signed} more by keys of ${q.of}`);
    const after = result.isPublished
      ? hint
      : `flotilla trust sign --role ${result.role} adds signatures`;
    return `${result.role} ${result.version} ${result.isPublished ? "published" : `pending, needs ${missing.join(" and ")}`}: ${result.path}\n${after === undefined ? "" : `${after}\n`}`;
  });
}
