import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import {
  bytesOf,
  CODED_BYTES_MAX,
  choose,
  DELTA_PERCENT_MAX,
  isWorthWaiting,
  likelyBases,
  type MadeDelta,
  PLAIN_BYTES_MIN,
  victimsOf,
  WAIT_FULL_BYTES_MIN,
  WAIT_MS_MAX,
  WAIT_MS_MIN,
  type Wish,
  workFor,
  worthOf,
} from "./choice.ts";

const STEPS_MAX = 3;
const NAMES = ["a", "b", "c", "d", "e", "f", "g"] as const;

function made(over: Partial<MadeDelta>): MadeDelta {
  const { base, target = "t", profile = "fast" } = over;
  return {
    base,
    target,
    profile,
    manifestSha256: `${base ?? ""}>${target}/${profile}`,
    manifestBytes: 0,
    payloadBytes: 100,
    memoryBytes: 10,
    ...over,
  };
}

function wish(over: Partial<Wish> = {}): Wish {
  return {
    target: "t",
    bases: ["a"],
    memoryBytes: 50,
    failed: new Set(),
    isMetered: false,
    stepsMax: STEPS_MAX,
    fileBytes: 1_000,
    isWeights: false,
    ...over,
  };
}

const FULL = made({ payloadBytes: 1_000 });

describe("the choice", () => {
  it("is a delta where it saves enough, else the whole file", () => {
    const edge = DELTA_PERCENT_MAX * 10;
    expect(choose(wish(), [FULL, made({ base: "a", payloadBytes: edge - 1 })])?.kind).toBe("delta");
    expect(choose(wish(), [FULL, made({ base: "a", payloadBytes: edge })])?.kind).toBe("full");
    expect(choose(wish({ bases: [] }), [FULL, made({ base: "a" })])?.kind).toBe("full");
  });

  it("counts manifests: below a kilobyte they are larger than what is saved", () => {
    const delta = made({ base: "a", payloadBytes: 10, manifestBytes: 900 });
    expect(choose(wish(), [FULL, delta])?.kind).toBe("full");
  });

  it("is nothing before the whole file is made, for nothing can be compared with it", () => {
    expect(choose(wish(), [made({ base: "a" })])).toBeUndefined();
    expect(choose(wish(), [])).toBeUndefined();
  });

  it("is a chain where no direct delta is there, or where it is larger", () => {
    const chain = [made({ base: "a", target: "b" }), made({ base: "b" })];
    expect(choose(wish(), [FULL, ...chain])).toMatchObject({ kind: "chain", bytes: 200 });
    const direct = (payloadBytes: number) => made({ base: "a", payloadBytes });
    expect(choose(wish(), [FULL, ...chain, direct(200)])?.kind).toBe("delta");
    expect(choose(wish(), [FULL, ...chain, direct(201)])?.kind).toBe("chain");
  });

  it("leaves out what failed, what needs too much memory, and what is slow where the link is free", () => {
    const delta = made({ base: "a" });
    const failed = new Set([delta.manifestSha256]);
    expect(choose(wish({ failed }), [FULL, delta])?.kind).toBe("full");
    expect(choose(wish({ memoryBytes: 9 }), [FULL, delta])).toBeUndefined();
    const slow = made({ base: "a", profile: "slow", payloadBytes: 90 });
    expect(choose(wish(), [FULL, delta, slow])?.steps).toEqual([delta]);
    expect(choose(wish({ isMetered: true }), [FULL, delta, slow])?.steps).toEqual([slow]);
  });

  it("is a whole file that failed when there is no other: the next try may go well", () => {
    const failed = new Set([FULL.manifestSha256]);
    expect(choose(wish({ failed }), [FULL])?.steps).toEqual([FULL]);
    const small = made({ profile: "small", payloadBytes: 1_100, memoryBytes: 5 });
    expect(choose(wish({ failed }), [FULL, small])?.steps).toEqual([small]);
  });

  it("takes the small form of the whole file however little memory there is", () => {
    const small = made({ profile: "small", payloadBytes: 1_100, memoryBytes: 5 });
    expect(choose(wish({ memoryBytes: 1 }), [FULL, small])?.steps).toEqual([small]);
    expect(choose(wish(), [FULL, small])?.steps).toEqual([FULL]);
  });
});

const delta = fc.record({
  base: fc.option(fc.constantFrom(...NAMES), { nil: undefined }),
  target: fc.constantFrom(...NAMES),
  profile: fc.constantFrom("fast" as const, "slow" as const, "small" as const, "plain" as const),
  manifestSha256: fc.uuid(),
  manifestBytes: fc.nat(50),
  payloadBytes: fc.nat(1_000),
  memoryBytes: fc.nat(100),
});

const anyWish = fc.record({
  target: fc.constantFrom(...NAMES),
  bases: fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 4 }),
  memoryBytes: fc.nat(100),
  failed: fc.constant(new Set<string>()),
  isMetered: fc.boolean(),
  stepsMax: fc.constant(STEPS_MAX),
  fileBytes: fc.constant(1_000),
  isWeights: fc.boolean(),
});

test("whatever is made: no larger than the whole file, within memory, few steps, and each step begins where the last one ended", () => {
  fc.assert(
    fc.property(anyWish, fc.array(delta, { maxLength: 30 }), fc.nat(30), (asked, all, failing) => {
      const failed = new Set(all.slice(0, failing % 5).map((d) => d.manifestSha256));
      const choice = choose({ ...asked, failed }, all);
      if (choice === undefined) return;
      const wholes = all.filter(
        (d) => d.base === undefined && d.target === asked.target && !failed.has(d.manifestSha256),
      );
      const { steps } = choice;
      const fits = (d: MadeDelta): boolean => d.memoryBytes <= asked.memoryBytes;
      const [first] = steps;
      const isLast =
        choice.kind === "full" && (first?.profile === "small" || first?.profile === "plain");
      const isRetry = choice.kind === "full" && !wholes.some(fits);
      expect(steps.length).toBeGreaterThan(0);
      expect(steps.length).toBeLessThanOrEqual(STEPS_MAX);
      expect(steps.every((s) => !failed.has(s.manifestSha256)) || isRetry).toBe(true);
      expect(steps.every(fits) || (isLast && !wholes.some(fits))).toBe(true);
      expect(choice.bytes).toBe(steps.reduce((sum, s) => sum + bytesOf(s), 0));
      const alternatives = wholes.filter(
        (w) => fits(w) && (w.profile !== "slow" || asked.isMetered),
      );
      for (const whole of alternatives) expect(choice.bytes).toBeLessThanOrEqual(bytesOf(whole));
      expect(steps.at(-1)?.target).toBe(asked.target);
      const begins = [choice.kind === "full" ? undefined : steps[0]?.base];
      expect(begins.every((b) => b === undefined || asked.bases.some((n) => n === b))).toBe(true);
      for (const [i, step] of steps.entries())
        expect(i === 0 || step.base === steps[i - 1]?.target).toBe(true);
    }),
    { numRuns: 3_000, seed: 34 },
  );
});

test("what is missing is the whole file and a delta from the likeliest base that the hub has", () => {
  const has = (sha256: string): boolean => sha256 !== "x";
  const bases = ["x", "t", "a", "b"];
  expect(workFor(wish({ bases }), [], has)).toEqual([
    { base: undefined, target: "t", profile: "fast" },
    { base: "a", target: "t", profile: "fast" },
  ]);
  expect(workFor(wish({ bases, isMetered: true }), [FULL], has)).toEqual([
    { base: "a", target: "t", profile: "slow" },
  ]);
  expect(workFor(wish({ bases }), [FULL, made({ base: "a" })], has)).toEqual([]);
  expect(workFor(wish({ bases, memoryBytes: 5 }), [FULL, made({ base: "a" })], has)).toEqual([
    { base: undefined, target: "t", profile: "small" },
    { base: "a", target: "t", profile: "small" },
  ]);
});

test("a large file lies ready as it is at once and coded later; a very large one is not coded, but for deltas of weights", () => {
  const works = (fileBytes: number, isWeights = false): readonly string[] =>
    workFor(wish({ fileBytes, isWeights }), [], () => true).map(
      (w) => `${w.base ?? ""}/${w.profile}`,
    );
  expect(works(PLAIN_BYTES_MIN - 1)).toEqual(["/fast", "a/fast"]);
  expect(works(PLAIN_BYTES_MIN)).toEqual(["/plain", "/fast", "a/fast"]);
  expect(works(CODED_BYTES_MAX)).toEqual(["/plain", "/fast", "a/fast"]);
  expect(works(CODED_BYTES_MAX + 1)).toEqual(["/plain"]);
  expect(works(CODED_BYTES_MAX + 1, true)).toEqual(["/plain", "a/fast"]);
  const plain = made({ profile: "plain", payloadBytes: 1_050, memoryBytes: 20 });
  expect(choose(wish({ memoryBytes: 1 }), [plain])?.steps).toEqual([plain]);
  expect(choose(wish(), [plain, FULL])?.steps).toEqual([FULL]);
});

test("a node waits as long as the whole file would take, on a metered link longer, for a small file never", () => {
  const about = {
    fullBytes: 50_000_000,
    isPatient: false,
    bytesPerSecond: 1_000_000,
    waitedMs: 0,
    expectedMs: 50_000,
  };
  expect(isWorthWaiting(about)).toBe(true);
  expect(isWorthWaiting({ ...about, waitedMs: 1 })).toBe(false);
  expect(isWorthWaiting({ ...about, waitedMs: 1, isPatient: true })).toBe(true);
  expect(isWorthWaiting({ ...about, isPatient: true, waitedMs: WAIT_MS_MAX })).toBe(false);
  expect(isWorthWaiting({ ...about, bytesPerSecond: undefined })).toBe(true);
  const small = { ...about, fullBytes: WAIT_FULL_BYTES_MIN, expectedMs: WAIT_MS_MIN };
  expect(isWorthWaiting(small)).toBe(true);
  expect(isWorthWaiting({ ...small, fullBytes: WAIT_FULL_BYTES_MIN - 1 })).toBe(false);
});

test("what is dropped first saves least, times how often it will be fetched", () => {
  const worth = (payloadBytes: number, expectedDownloads: number) => {
    const one = made({ base: `b${payloadBytes}`, payloadBytes });
    return { delta: one, worth: worthOf(one, { fullBytes: 1_000, expectedDownloads }) };
  };
  const [often, seldom, poor] = [worth(100, 50), worth(101, 1), worth(950, 50)] as const;
  const order = victimsOf([often, seldom, poor], 10_000, new Set());
  expect(order).toEqual([seldom.delta, poor.delta, often.delta]);
  expect(victimsOf([often, seldom, poor], 101, new Set())).toEqual([seldom.delta]);
  const kept = new Set([seldom.delta.manifestSha256]);
  expect(victimsOf([often, seldom, poor], 101, kept)).toEqual([poor.delta]);
});

test("deltas are made ahead from the bases that nearly all nodes hold", () => {
  const holders = new Map([
    [1, 4],
    [2, 60],
    [3, 35],
    [4, 1],
    [5, 0],
  ]);
  expect(likelyBases(holders, 0.95)).toEqual([2, 3]);
  expect(likelyBases(holders, 0.96)).toEqual([2, 3, 1]);
  expect(likelyBases(holders, 1)).toEqual([2, 3, 1, 4]);
  expect(likelyBases(new Map(), 0.95)).toEqual([]);
});
