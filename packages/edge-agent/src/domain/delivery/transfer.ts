/**
 * How far a file has come: what must be known after a power cut. A table: every state knows every event (the compiler checks
 * it). What is stored after each event is the whole of it.
 */

export type TransferPhase =
  /** The hub has to say how the file can be had. */
  | "asking"
  /** The steps of an offer are carried out, block by block. */
  | "applying"
  /** Every step is done; the store of contents takes the file over. */
  | "complete";

/** Another node of the site that has or wants the file. */
export interface TransferPeer {
  readonly node: string;
  readonly host: string;
  readonly port: number;
}

/** One step of an offer, as it is kept: its manifest lies beside, under its digest. */
export interface TransferStep {
  /** SHA-256 of what it makes, and of what it begins from. */
  readonly makes: string;
  readonly base?: string;
  readonly manifestSha256: string;
  readonly manifestLength: number;
  readonly signature: string;
  readonly keyId: string;
  readonly payloadLength: number;
}

export interface Transfer {
  /** SHA-256 of the file. */
  readonly target: string;
  readonly phase: TransferPhase;
  readonly steps: readonly TransferStep[];
  readonly stepIndex: number;
  readonly peers: readonly TransferPeer[];
  /** First block of the step that is not in its part yet. */
  readonly nextBlock: number;
  /** Bytes of payloads that came for this file, all tries together. */
  readonly transferredBytes: number;
  /** Manifest → applies of it that failed here. */
  readonly failures: Readonly<Record<string, number>>;
}

export type TransferEvent =
  | {
      readonly kind: "offered";
      readonly steps: readonly TransferStep[];
      /** The first step whose result is not here yet. */
      readonly stepIndex: number;
      readonly peers: readonly TransferPeer[];
    }
  /** The blocks before `next` are in the part, durably. */
  | { readonly kind: "block"; readonly next: number }
  | { readonly kind: "received"; readonly bytes: number }
  | { readonly kind: "step-done" }
  /** The step's bytes were there and did not give what was signed. `isFinal`: another try gives the same. */
  | { readonly kind: "apply-failed"; readonly isFinal: boolean }
  /** The part is gone, for the room that it took: the step begins anew. */
  | { readonly kind: "part-removed" }
  /** Nobody has the payload any more. */
  | { readonly kind: "withdrawn" };

/** So many failed applies of a manifest, and the hub is asked for something else. */
export const APPLY_TRIES_MAX = 3;
/** Most manifests that are remembered as failed; the oldest is forgotten. The hub takes as many. */
export const FAILED_MANIFESTS_MAX = 16;

export function newTransfer(target: string): Transfer {
  return {
    target,
    phase: "asking",
    steps: [],
    stepIndex: 0,
    peers: [],
    nextBlock: 0,
    transferredBytes: 0,
    failures: {},
  };
}

/** Manifests that the hub is asked not to offer again. */
export function failedManifests(transfer: Transfer): readonly string[] {
  return Object.keys(transfer.failures).filter((sha) => isFailed(transfer, sha));
}

export function isFailed(transfer: Transfer, manifestSha256: string): boolean {
  return (transfer.failures[manifestSha256] ?? 0) >= APPLY_TRIES_MAX;
}

/** The transfer without the memory of what failed: an operator has mended what was in the way. */
export function forgiven(transfer: Transfer): Transfer {
  return Object.keys(transfer.failures).length === 0 ? transfer : { ...transfer, failures: {} };
}

/** The step that is being carried out. */
export function currentStep(transfer: Transfer): TransferStep | undefined {
  return transfer.phase === "applying" ? transfer.steps[transfer.stepIndex] : undefined;
}

type Handlers = {
  readonly [K in TransferEvent["kind"]]: (
    transfer: Transfer,
    event: Extract<TransferEvent, { readonly kind: K }>,
  ) => Transfer;
};

const stay = (transfer: Transfer): Transfer => transfer;

const begin: Handlers["offered"] = (transfer, { steps, stepIndex, peers }) => ({
  ...transfer,
  phase: stepIndex < steps.length ? "applying" : "complete",
  steps,
  stepIndex,
  peers,
  nextBlock: 0,
});

/** An offer that goes on with the same manifest brings news of peers; another one is taken when this one has failed. */
const refresh: Handlers["offered"] = (transfer, { steps, peers }) => {
  const sha256 = currentStep(transfer)?.manifestSha256;
  return steps.some((step) => step.manifestSha256 === sha256) ? { ...transfer, peers } : transfer;
};

const restart = (transfer: Transfer): Transfer => ({ ...transfer, nextBlock: 0 });

const received: Handlers["received"] = (transfer, { bytes }) => ({
  ...transfer,
  transferredBytes: transfer.transferredBytes + bytes,
});

const askAgain = (transfer: Transfer): Transfer => ({
  ...transfer,
  phase: "asking",
  steps: [],
  stepIndex: 0,
  nextBlock: 0,
});

const TABLE: Readonly<Record<TransferPhase, Handlers>> = {
  asking: {
    offered: begin,
    block: stay,
    received,
    "step-done": stay,
    "apply-failed": stay,
    "part-removed": stay,
    withdrawn: stay,
  },
  applying: {
    offered: refresh,
    block: (transfer, { next }) => ({ ...transfer, nextBlock: next }),
    received,
    "step-done": (transfer) => begin(transfer, nextStep(transfer)),
    "apply-failed": (transfer, { isFinal }) => withFailure(transfer, isFinal),
    "part-removed": restart,
    withdrawn: askAgain,
  },
  complete: {
    offered: stay,
    block: stay,
    received,
    "step-done": stay,
    // The whole was not what was signed for, or its part is gone.
    "apply-failed": askAgain,
    "part-removed": askAgain,
    withdrawn: askAgain,
  },
};

function nextStep({ steps, stepIndex, peers }: Transfer): Parameters<Handlers["offered"]>[1] {
  return { kind: "offered", steps, stepIndex: stepIndex + 1, peers };
}

/** The step begins anew; one that failed too often gives way to another offer. */
function withFailure(transfer: Transfer, isFinal: boolean): Transfer {
  const sha256 = currentStep(transfer)?.manifestSha256;
  if (sha256 === undefined) return askAgain(transfer);
  const count = isFinal
    ? APPLY_TRIES_MAX
    : Math.min(APPLY_TRIES_MAX, (transfer.failures[sha256] ?? 0) + 1);
  const others = Object.entries(transfer.failures).filter(([other]) => other !== sha256);
  const failures = Object.fromEntries([
    ...others.slice(Math.max(0, others.length + 1 - FAILED_MANIFESTS_MAX)),
    [sha256, count],
  ]);
  const next = { ...transfer, failures, nextBlock: 0 };
  return count >= APPLY_TRIES_MAX ? askAgain(next) : next;
}

/** What an event makes of a transfer. */
export function stepTransfer(transfer: Transfer, event: TransferEvent): Transfer {
  const handlers = TABLE[transfer.phase];
  switch (event.kind) {
    case "offered":
      return handlers.offered(transfer, event);
    case "block":
      return handlers.block(transfer, event);
    case "received":
      return handlers.received(transfer, event);
    case "step-done":
      return handlers["step-done"](transfer, event);
    case "apply-failed":
      return handlers["apply-failed"](transfer, event);
    case "part-removed":
      return handlers["part-removed"](transfer, event);
    case "withdrawn":
      return handlers.withdrawn(transfer, event);
  }
}
