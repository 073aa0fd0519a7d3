/**
 * One transfer at a time: urgent ones first, then in the order in which they came. Who has the lane gives way between two blocks to
 * one that is more urgent, and goes on behind it.
 */
export class Lane {
  #holder: Place | undefined;
  readonly #waiting: Place[] = [];

  /** A place that is not in the lane yet: `giveWay` brings it in. */
  place(isUrgent: () => boolean): Place {
    return new Place(this, isUrgent);
  }

  /**
   * Resolves when it is this one's turn; between two blocks it lets one go first that is more urgent. Rejects with the signal's
   * reason.
   */
  async giveWay(place: Place, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#holder !== place) await this.#wait(place, signal);
    else if (!place.isUrgent() && this.#waiting.some((other) => other.isUrgent())) {
      this.leave(place);
      await this.#wait(place, signal);
    }
  }

  /** For good, or until the next `giveWay`. */
  leave(place: Place): void {
    if (this.#holder !== place) return;
    this.#holder = undefined;
    this.#next();
  }

  #wait(place: Place, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => {
        const at = this.#waiting.indexOf(place);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(signal.reason);
      };
      place.turn = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(place);
      this.#next();
    });
  }

  #next(): void {
    if (this.#holder !== undefined) return;
    const urgent = this.#waiting.findIndex((place) => place.isUrgent());
    const [next] = this.#waiting.splice(Math.max(0, urgent), 1);
    this.#holder = next;
    next?.turn();
  }
}

/** A place in the lane. */
export class Place {
  readonly isUrgent: () => boolean;
  turn: () => void = () => undefined;
  readonly #lane: Lane;

  constructor(lane: Lane, isUrgent: () => boolean) {
    this.#lane = lane;
    this.isUrgent = isUrgent;
  }

  leave(): void {
    this.#lane.leave(this);
  }
}
