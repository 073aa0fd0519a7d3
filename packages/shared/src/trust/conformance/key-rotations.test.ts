import { describe, expect, test } from "vitest";
import { tufTools } from "../../platform/tuf.ts";
import { SimulatorClient, TufSimulator } from "../../testing/tuf-simulator.ts";

/** The cases of tuf-conformance's test_updater_key_rotations.py, by their names. */

const tools = tufTools();

/** Keys, threshold and signers of one version. */
type Version = readonly [keys: readonly number[], threshold: number, signers: readonly number[]];
const named = (numbers: readonly number[]): readonly string[] => numbers.map((n) => `key-${n}`);
const FIVE = [0, 1, 2, 3, 4] as const;
const ROTATED = [0, 1, 3, 4, 5] as const;

const ROOTS: Readonly<Record<string, readonly [boolean, ...(readonly Version[])]>> = {
  "1-of-1-key-rotation": [true, [[1], 1, [1]], [[2], 1, [2, 1]], [[2], 1, [2]]],
  "1-of-1-key-rotation-unused-signatures": [
    true,
    [[1], 1, [3, 1, 4]],
    [[2], 1, [3, 2, 1, 4]],
    [[2], 1, [3, 2, 4]],
  ],
  "3-of-5-sign-with-different-keycombos": [
    true,
    [FIVE, 3, [0, 2, 4]],
    [FIVE, 3, [0, 4, 1]],
    [FIVE, 3, [0, 1, 3]],
    [FIVE, 3, [0, 1, 3]],
  ],
  "3-of-5-one-key-rotated": [true, [FIVE, 3, [0, 2, 4]], [ROTATED, 3, [0, 4, 1]]],
  "3-of-5-one-key-rotated-with-intermediate-step": [
    true,
    [FIVE, 3, [0, 2, 4]],
    [ROTATED, 3, [0, 2, 4, 5]],
    [ROTATED, 3, [0, 4, 5]],
  ],
  "3-of-5-all-keys-rotated-with-intermediate-step": [
    true,
    [FIVE, 3, [0, 2, 4]],
    [[5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7]],
    [[5, 6, 7, 8, 9], 3, [5, 6, 7]],
  ],
  "1-of-3-threshold-increase-to-2-of-3": [true, [[1, 2, 3], 1, [1]], [[1, 2, 3], 2, [1, 2]]],
  "2-of-3-threshold-decrease-to-1-of-3": [
    true,
    [[1, 2, 3], 2, [1, 2]],
    [[1, 2, 3], 1, [1, 2]],
    [[1, 2, 3], 1, [1]],
  ],
  "1-of-2-threshold-increase-to-2-of-2": [true, [[1], 1, [1]], [[1, 2], 2, [1, 2]]],
  "1-of-1-key-rotation-fail-not-signed-with-old-key": [false, [[1], 1, [1]], [[2], 1, [2, 3, 4]]],
  "1-of-1-key-rotation-fail-not-signed-with-new-key": [false, [[1], 1, [1]], [[2], 1, [1, 3, 4]]],
  "3-of-5-one-key-rotate-fails-not-signed-with-3-new-keys": [
    false,
    [FIVE, 3, [0, 2, 4]],
    [ROTATED, 3, [0, 2, 4]],
  ],
  "3-of-5-one-key-rotate-fails-not-signed-with-3-old-keys": [
    false,
    [FIVE, 3, [0, 2, 4]],
    [ROTATED, 3, [0, 4, 5]],
  ],
  "1-of-3-threshold-bump-to-2-of-3-fails-new-threshold-not-reached": [
    false,
    [[1, 2, 3], 1, [1]],
    [[1, 2, 3], 2, [2]],
  ],
  "2-of-3-threshold-decr-to-1-of-3-fails-old-threshold-not-eached": [
    false,
    [[1, 2, 3], 2, [1, 2]],
    [[1, 2, 3], 1, [1]],
  ],
};

describe("test_root_rotation", () => {
  test.each(Object.entries(ROOTS))("%s", async (_name, [isAccepted, ...versions]) => {
    const repository = new TufSimulator({ tools });
    repository.setNextVersion("root", 1);
    for (const [keys, threshold, signers] of versions) {
      repository.setKeys("root", named(keys), { threshold, signers: named(signers) });
      repository.publish("root");
    }
    repository.publish("targets", "snapshot", "timestamp");
    const client = new SimulatorClient({ repository, tools });
    expect(client.init()).toBe("accepted");
    expect(await client.refresh()).toBe(isAccepted ? "accepted" : "metadata-unsigned");
    const last = isAccepted ? versions.length : versions.length - 1;
    expect(client.file("root")).toEqual(repository.files.get(`${last}.root.json`));
  });
});

const OTHERS: Readonly<Record<string, readonly [boolean, Version]>> = {
  "1-of-1-key-rotation": [true, [[2], 1, [2]]],
  "1-of-1-key-rotation-unused-signatures": [true, [[1], 1, [3, 1, 4]]],
  "1-of-1-key-rotation-fail-not-signed-with-new-key": [false, [[2], 1, [1, 3, 4]]],
  "3-of-5-one-key-signature-wrong-not-signed-with-3-expected-keys": [
    false,
    [ROTATED, 3, [0, 2, 4]],
  ],
  "2-of-5-one-key-signature-mising-threshold-not-reached": [false, [ROTATED, 3, [0, 4]]],
  "3-of-5-sign-first-combo": [true, [FIVE, 3, [0, 2, 4]]],
  "3-of-5-sign-second-combo": [true, [FIVE, 3, [0, 4, 1]]],
  "3-of-5-sign-third-combo": [true, [FIVE, 3, [0, 1, 3]]],
  "3-of-5-sign-fourth-combo": [true, [FIVE, 3, [1, 2, 3]]],
  "3-of-5-sign-fifth-combo": [true, [FIVE, 3, [2, 3, 4]]],
};

describe("test_non_root_rotations", () => {
  test.each(Object.entries(OTHERS))(
    "%s",
    async (_name, [isAccepted, [keys, threshold, signers]]) => {
      for (const role of ["timestamp", "snapshot", "targets"]) {
        const repository = new TufSimulator({ tools });
        const client = new SimulatorClient({ repository, tools });
        client.init();
        repository.setKeys(role, named(keys), { threshold, signers: named(signers) });
        repository.publish("root", "targets", "snapshot", "timestamp");
        expect([role, await client.refresh()]).toEqual([
          role,
          isAccepted ? "accepted" : "metadata-unsigned",
        ]);
        expect(client.file(role)).toEqual(isAccepted ? repository.newest(role) : undefined);
      }
    },
  );
});
