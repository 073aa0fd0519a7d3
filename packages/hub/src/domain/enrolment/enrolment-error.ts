import { CodedError } from "@flotilla/shared/kernel/errors";

/** Why an enrolment or a renewal was refused. A closed set: it labels a metric and is listed in docs/errors.md. */
export const ENROLMENT_ERROR_STATUS = {
  /** A field is missing, malformed or too large; the request is not the kind that is signed here. */
  "bad-request": 400,
  /** No such token, or not its secret. One answer for both, so that nothing is learnt from it. */
  "invalid-token": 401,
  "token-used": 410,
  "token-expired": 410,
  /** The token names another node. */
  "wrong-node": 403,
  /** A node of this name exists and the token does not name it. */
  "duplicate-node": 409,
  /** Too many wrong tokens from this address or for this token. */
  "locked-out": 429,
  /** The certificate is not ours, too old, or its key did not sign the message. */
  "not-proven": 401,
  "unknown-node": 404,
  revoked: 403,
  /** A newer certificate of this node is in use. */
  superseded: 403,
  /** Others kept changing the same objects; the same request may be sent again. */
  conflict: 409,
} as const satisfies Record<string, number>;

export type EnrolmentErrorCode = keyof typeof ENROLMENT_ERROR_STATUS;

/** A refused enrolment. `httpStatus` is the answer's. */
export class EnrolmentError extends CodedError<EnrolmentErrorCode> {
  override readonly name = "EnrolmentError";

  get httpStatus(): number {
    return ENROLMENT_ERROR_STATUS[this.code];
  }
}
