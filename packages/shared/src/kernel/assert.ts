/** A bug of ours: the state that it names was held impossible. Ends the process; never caught to go on. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** States what must be true here. Stays on in production. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** The value, which cannot be absent here; `message` says why. */
export function must<T>(value: T | undefined | null, message: string): T {
  if (value === undefined || value === null) throw new AssertionError(message);
  return value;
}

/** The compiler proves that this is never reached; the run-time check stays for data from outside. */
export function unreachable(value: never, message = "unreachable"): never {
  throw new AssertionError(`${message}: ${JSON.stringify(value)}`);
}
