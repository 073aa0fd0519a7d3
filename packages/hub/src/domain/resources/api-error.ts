import { CodedError } from "@flotilla/shared/kernel/errors";

/** Reasons of a metav1.Status that the hub answers, each with its HTTP status. docs/errors.md lists them. */
export const STATUS_CODES = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
  Timeout: 504,
} as const;

export type ApiReason = keyof typeof STATUS_CODES;

/** One field that is wrong. `field` is a path such as `spec.components[0].name`; "" where no field is to blame. */
export interface Cause {
  readonly reason:
    | "FieldValueInvalid"
    | "FieldValueTypeInvalid"
    | "FieldValueRequired"
    | "FieldValueDuplicate"
    | "FieldValueNotSupported"
    | "FieldValueForbidden"
    | "FieldValueTooLong"
    | "FieldValueTooMany"
    | "FieldManagerConflict"
    | "UnexpectedServerResponse";
  readonly message: string;
  readonly field: string;
}

/** metav1.StatusDetails. `kind` is the plural for lookups and the kind's name for validation, as kube-apiserver has it. */
export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly Cause[];
  readonly retryAfterSeconds?: number;
}

/** metav1.Status of a failure, as it goes over HTTP. */
export interface FailureStatus {
  readonly kind: "Status";
  readonly apiVersion: "v1";
  readonly metadata: Readonly<Record<string, never>>;
  readonly status: "Failure";
  readonly message: string;
  readonly reason: ApiReason;
  readonly details?: StatusDetails;
  readonly code: number;
}

/** The object that an error is about. `plural` names the resource in a path, `kind` the object. */
export interface Subject {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
  readonly name: string;
}

/** A refused request of the resource API. `code` and `reason` are the Kubernetes reason, `statusCode` is HTTP's. */
export class ApiError extends CodedError<ApiReason> {
  readonly details: StatusDetails | undefined;

  constructor(reason: ApiReason, message: string, details?: StatusDetails) {
    super(reason, message, details === undefined ? {} : { fields: { ...details } });
    this.details = details;
  }

  get reason(): ApiReason {
    return this.code;
  }

  /** HTTP status. */
  get statusCode(): number {
    return STATUS_CODES[this.code];
  }

  /** The body that answers the request. */
  toStatus(): FailureStatus {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.code,
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.statusCode,
    };
  }
}

const qualified = (name: string, group: string): string =>
  group === "" ? name : `${name}.${group}`;

const detailsOf = (subject: Subject): StatusDetails => ({
  name: subject.name,
  ...(subject.group === "" ? {} : { group: subject.group }),
  kind: subject.plural,
});

/** 404 for an object. */
export function notFound(subject: Subject): ApiError {
  return new ApiError(
    "NotFound",
    `${qualified(subject.plural, subject.group)} "${subject.name}" not found`,
    detailsOf(subject),
  );
}

/** 409 at creation. */
export function alreadyExists(subject: Subject): ApiError {
  return new ApiError(
    "AlreadyExists",
    `${qualified(subject.plural, subject.group)} "${subject.name}" already exists`,
    detailsOf(subject),
  );
}

/** The sentence that clients look for when a write was based on an older version. */
export const STALE_MESSAGE =
  "the object has been modified; please apply your changes to the latest version and try again";

/** 409 for a write whose base is gone; `why` is STALE_MESSAGE unless said otherwise. */
export function conflict(subject: Subject, why: string = STALE_MESSAGE): ApiError {
  return new ApiError(
    "Conflict",
    `Operation cannot be fulfilled on ${qualified(subject.plural, subject.group)} "${subject.name}": ${why}`,
    detailsOf(subject),
  );
}

/** 422: the request was understood and its content is wrong. At least one cause. */
export function invalid(subject: Subject, causes: readonly Cause[]): ApiError {
  const texts = causes.map((c) => (c.field === "" ? c.message : `${c.field}: ${c.message}`));
  return new ApiError(
    "Invalid",
    `${qualified(subject.kind, subject.group)} "${subject.name}" is invalid: ${
      texts.length === 1 ? texts.join("") : `[${texts.join(", ")}]`
    }`,
    {
      name: subject.name,
      ...(subject.group === "" ? {} : { group: subject.group }),
      kind: subject.kind,
      causes,
    },
  );
}

/** 400: the request itself is wrong. */
export function badRequest(message: string): ApiError {
  return new ApiError("BadRequest", message);
}

/** 410: the version or the continue token is older than what the log still holds. */
export function expired(message: string): ApiError {
  return new ApiError("Expired", message);
}

/** 415; `accepted` lists the media types that would do. */
export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  return new ApiError(
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`,
  );
}

/** 405. */
export function methodNotAllowed(message: string): ApiError {
  return new ApiError("MethodNotAllowed", message, {});
}

/** 403; `why` says what is needed. */
export function forbidden(subject: Subject, why: string): ApiError {
  return new ApiError(
    "Forbidden",
    `${qualified(subject.plural, subject.group)} "${subject.name}" is forbidden: ${why}`,
    detailsOf(subject),
  );
}

/** 401. */
export function unauthorized(message = "Unauthorized"): ApiError {
  return new ApiError("Unauthorized", message);
}

/** 413; both sizes in bytes. */
export function tooLarge(message: string): ApiError {
  return new ApiError("RequestEntityTooLarge", message);
}

/** 429; `retryAfterSeconds` goes into the Retry-After header too. */
export function tooManyRequests(message: string, retryAfterSeconds: number): ApiError {
  return new ApiError("TooManyRequests", message, { retryAfterSeconds });
}

/** 503: try again later. */
export function serviceUnavailable(message: string): ApiError {
  return new ApiError("ServiceUnavailable", message);
}

/** 504: nobody answered in time. */
export function timeout(message: string): ApiError {
  return new ApiError("Timeout", message);
}

/** 500; the message must hold nothing internal. */
export function internalError(message: string): ApiError {
  return new ApiError("InternalError", message);
}
