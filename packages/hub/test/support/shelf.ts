/** What the stores of the hub have, as a test says. */
export class Shelf {
  readonly stored = new Map<string, number>();
  readonly listed = new Set<string>();
  readonly #listeners = new Set<(sha256: string) => void>();

  sizeOf(sha256: string): number | undefined {
    return this.stored.get(sha256);
  }

  isSigned(target: string, length: number, sha256: string): boolean {
    return this.listed.has(`${target} ${length} ${sha256}`);
  }

  onStored(listener: (sha256: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onPublished(listener: () => void): () => void {
    return this.onStored(() => listener());
  }

  changed(): void {
    for (const listener of this.#listeners) listener("");
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }
}
