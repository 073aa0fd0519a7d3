import { rmSync } from "node:fs";

/** Removes what a worker that was killed has left: the payload, and the file that it decoded to check it. */
export function removeLeftovers(payloadPath: string): void {
  for (const path of [payloadPath, madePathOf(payloadPath)]) rmSync(path, { force: true });
}

/** Where the decoded file lies while a delta is checked. */
export function madePathOf(payloadPath: string): string {
  return `${payloadPath}.made`;
}
