import fc from "fast-check";
import { expect, test } from "vitest";
import { evictionsFor, type StoredBlob } from "./retention.ts";

const blob = (sha256: string, lengthBytes: number, usedWallMs: number): StoredBlob => ({
  sha256,
  lengthBytes,
  usedWallMs,
});

test("the least recently used goes first, and no more than it takes", () => {
  const held = [blob("new", 10, 3), blob("old", 10, 1), blob("middle", 10, 2)];
  expect(evictionsFor(15, held, new Set())).toEqual(["old", "middle"]);
  expect(evictionsFor(0, held, new Set())).toEqual([]);
});

test("where all that is not needed would not be enough, nothing goes", () => {
  const held = [blob("needed", 100, 1), blob("spare", 10, 2)];
  expect(evictionsFor(11, held, new Set(["needed"]))).toBeUndefined();
});

test("what is needed never goes, whatever is asked, and what goes is enough", () => {
  const arbitrary = fc.array(
    fc.record({
      sha256: fc.stringMatching(/^[0-9a-f]{4}$/),
      lengthBytes: fc.nat(1000),
      usedWallMs: fc.nat(50),
      isNeeded: fc.boolean(),
    }),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(arbitrary, fc.nat(10_000), (blobs, bytes) => {
      const needed = new Set(blobs.filter((b) => b.isNeeded).map((b) => b.sha256));
      const spareBytes = blobs
        .filter((b) => !needed.has(b.sha256))
        .reduce((sum, b) => sum + b.lengthBytes, 0);
      const gone = evictionsFor(bytes, blobs, needed);
      expect(gone === undefined).toBe(spareBytes < bytes);
      expect(gone?.some((sha256) => needed.has(sha256)) ?? false).toBe(false);
    }),
    { seed: 5, numRuns: 300 },
  );
});
