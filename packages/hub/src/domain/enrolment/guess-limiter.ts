/** Wrong tokens for one token name before the name is locked. */
export const GUESSES_PER_TOKEN_MAX = 20;
/** Wrong tokens, or failed proofs, from one remote address before the address is locked. */
export const GUESSES_PER_ADDRESS_MAX = 50;
/** How long guesses count, and how long a lock holds after the last of them. */
export const LOCKOUT_MS: number = 15 * 60_000;
/** Most names and addresses that are remembered; at the limit the one that guessed longest ago is forgotten. */
export const LOCKOUT_KEYS_MAX = 10_000;

interface Count {
  readonly guesses: number;
  readonly lastMs: number;
}

/**
 * Counts wrong guesses by key and locks the key at its limit. A 256-bit secret is not guessed anyway: this bounds the
 * work and makes the attempt visible. Time is the boot clock, given at each call.
 */
export class GuessLimiter {
  readonly #counts = new Map<string, Count>();

  /** True while the key has as many recent wrong guesses as it may have. */
  isLocked(key: string, guessesMax: number, nowMs: number): boolean {
    const count = this.#counts.get(key);
    if (count === undefined) return false;
    if (nowMs - count.lastMs >= LOCKOUT_MS) {
      this.#counts.delete(key);
      return false;
    }
    return count.guesses >= guessesMax;
  }

  /** Counts one wrong guess; the number of recent ones, this one included. */
  countWrong(key: string, nowMs: number): number {
    const before = this.#counts.get(key);
    const isRecent = before !== undefined && nowMs - before.lastMs < LOCKOUT_MS;
    const guesses = isRecent ? before.guesses + 1 : 1;
    // Deleted first, so that the map's order is the order of the last guess.
    this.#counts.delete(key);
    this.#counts.set(key, { guesses, lastMs: nowMs });
    this.#forgetOldest();
    return guesses;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#counts.size;
  }

  #forgetOldest(): void {
    if (this.#counts.size <= LOCKOUT_KEYS_MAX) return;
    const oldest = this.#counts.keys().next();
    if (oldest.done !== true) this.#counts.delete(oldest.value);
  }
}
