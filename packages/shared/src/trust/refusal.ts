import { CodedError } from "../kernel/errors.ts";

/** Why metadata, an order or a file is not taken. Each names an attack by `ATTACK_OF`; docs/trust.md explains each. */
export type TrustErrorCode =
  | "metadata-missing"
  | "metadata-too-large"
  | "metadata-malformed"
  | "metadata-unsigned"
  | "metadata-rolled-back"
  | "metadata-expired"
  | "metadata-mixed"
  | "key-duplicated"
  | "root-out-of-order"
  | "root-chain-too-long"
  | "delegations-too-many"
  | "clock-unusable"
  | "order-for-other-node"
  | "order-rolled-back"
  | "order-too-large"
  | "target-not-released"
  | "target-disagrees"
  | "target-wrong-hardware"
  | "release-partial"
  | "release-mixed"
  | "release-rolled-back"
  | "target-too-long"
  | "target-too-short"
  | "target-too-slow"
  | "target-altered";

/** Attacks by their names in TUF 1.0.34 §1.5.2 and in Uptane's standard, §4.2 of version 2. */
export type Attack =
  | "arbitrary software"
  | "endless data"
  | "extraneous dependencies"
  | "freeze"
  | "malicious mirror"
  | "mix-and-match"
  | "rollback"
  | "key compromise"
  | "wrong software"
  | "drop-request"
  | "slow retrieval"
  | "partial bundle"
  | "mixed bundle"
  | "denial of service";

/** What each refusal stops. An accident looks the same as the attack it is named by, and is answered the same. */
export const ATTACK_OF: Readonly<Record<TrustErrorCode, Attack>> = {
  "metadata-missing": "drop-request",
  "metadata-too-large": "endless data",
  "metadata-malformed": "denial of service",
  "metadata-unsigned": "arbitrary software",
  "metadata-rolled-back": "rollback",
  "metadata-expired": "freeze",
  "metadata-mixed": "mix-and-match",
  "key-duplicated": "key compromise",
  "root-out-of-order": "rollback",
  "root-chain-too-long": "denial of service",
  "delegations-too-many": "denial of service",
  "clock-unusable": "freeze",
  "order-for-other-node": "wrong software",
  "order-rolled-back": "rollback",
  "order-too-large": "denial of service",
  "target-not-released": "extraneous dependencies",
  "target-disagrees": "arbitrary software",
  "target-wrong-hardware": "wrong software",
  "release-partial": "partial bundle",
  "release-mixed": "mixed bundle",
  "release-rolled-back": "rollback",
  "target-too-long": "endless data",
  "target-too-short": "malicious mirror",
  "target-too-slow": "slow retrieval",
  "target-altered": "arbitrary software",
};

/** A refusal as data: for the report to the hub, a metric label (`code`) and the operator. */
export interface Refusal {
  readonly code: TrustErrorCode;
  readonly attack: Attack;
  /** File or target that it is about. */
  readonly subject: string;
  readonly message: string;
  readonly mend: string;
}

/** The refusal within this folder's code. `decide` and its siblings catch it and return it as data. */
export class TrustError extends CodedError<TrustErrorCode> {
  override readonly name = "TrustError";
  readonly subject: string;

  constructor(
    code: TrustErrorCode,
    about: { readonly subject: string; readonly message: string; readonly mend: string },
  ) {
    super(code, `${about.subject}: ${about.message}`, {
      fields: { subject: about.subject, attack: ATTACK_OF[code] },
      mend: about.mend,
    });
    this.subject = about.subject;
  }
}

/** The data of a caught refusal. Rethrows what is none: that is a bug. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof TrustError)) throw error;
  const { code, subject, message, mend } = error;
  return { code, attack: ATTACK_OF[code], subject, message, mend: mend ?? "" };
}
