import fc from "fast-check";
import { expect, test } from "vitest";
import {
  APPLY_TRIES_MAX,
  currentStep,
  FAILED_MANIFESTS_MAX,
  failedManifests,
  isFailed,
  newTransfer,
  stepTransfer,
  type Transfer,
  type TransferEvent,
  type TransferStep,
} from "./transfer.ts";

function step(n: number): TransferStep {
  const sha = n.toString(16).padStart(64, "0");
  return {
    makes: sha,
    manifestSha256: sha,
    manifestLength: 1,
    signature: "s",
    keyId: "k",
    payloadLength: 10,
  };
}

function after(transfer: Transfer, ...events: readonly TransferEvent[]): Transfer {
  return events.reduce(stepTransfer, transfer);
}

const TARGET = "f".repeat(64);

test("a chain of two is carried out one after the other", () => {
  const steps = [step(1), step(2)];
  const begun = after(newTransfer(TARGET), { kind: "offered", steps, stepIndex: 0, peers: [] });
  expect(currentStep(begun)).toEqual(steps[0]);
  const second = after(begun, { kind: "block", next: 3 }, { kind: "step-done" });
  expect(second).toMatchObject({ phase: "applying", stepIndex: 1, nextBlock: 0 });
  expect(after(second, { kind: "step-done" }).phase).toBe("complete");
});

test("what is here already of a chain is left out", () => {
  const steps = [step(1), step(2)];
  const begun = after(newTransfer(TARGET), { kind: "offered", steps, stepIndex: 1, peers: [] });
  expect(currentStep(begun)).toEqual(steps[1]);
});

test("a manifest that failed three times, or once for good, is asked to be left out", () => {
  const offered: TransferEvent = { kind: "offered", steps: [step(1)], stepIndex: 0, peers: [] };
  let transfer = after(newTransfer(TARGET), offered, { kind: "block", next: 2 });
  for (let n = 1; n < APPLY_TRIES_MAX; n++) {
    transfer = after(transfer, { kind: "apply-failed", isFinal: false });
    expect(transfer).toMatchObject({ phase: "applying", nextBlock: 0 });
    expect(failedManifests(transfer)).toEqual([]);
  }
  transfer = after(transfer, { kind: "apply-failed", isFinal: false });
  expect(transfer.phase).toBe("asking");
  expect(failedManifests(transfer)).toEqual([step(1).manifestSha256]);
  const final = after(newTransfer(TARGET), offered, { kind: "apply-failed", isFinal: true });
  expect(isFailed(final, step(1).manifestSha256)).toBe(true);
});

test("whatever happens: the step exists while one is applied, failures stay bounded, nothing is forgotten of bytes", () => {
  const event = fc.oneof(
    fc.record({
      kind: fc.constant<"offered">("offered"),
      steps: fc.array(fc.integer({ min: 1, max: 40 }).map(step), { minLength: 1, maxLength: 4 }),
      stepIndex: fc.integer({ min: 0, max: 4 }),
      peers: fc.constant([]),
    }),
    fc.record({ kind: fc.constant<"block">("block"), next: fc.nat(100) }),
    fc.record({ kind: fc.constant<"received">("received"), bytes: fc.nat(100) }),
    fc.constant<TransferEvent>({ kind: "step-done" }),
    fc.record({ kind: fc.constant<"apply-failed">("apply-failed"), isFinal: fc.boolean() }),
    fc.constant<TransferEvent>({ kind: "part-removed" }),
    fc.constant<TransferEvent>({ kind: "withdrawn" }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      let transfer = newTransfer(TARGET);
      let bytes = 0;
      for (const e of events) {
        transfer = stepTransfer(transfer, e);
        if (e.kind === "received") bytes += e.bytes;
        expect(currentStep(transfer) !== undefined).toBe(transfer.phase === "applying");
        expect(failedManifests(transfer).length).toBeLessThanOrEqual(FAILED_MANIFESTS_MAX);
        expect(transfer.transferredBytes).toBe(bytes);
        expect(transfer.phase !== "asking" || transfer.nextBlock === 0).toBe(true);
      }
    }),
  );
});
