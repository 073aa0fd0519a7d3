/** What may leave the process in a log line: no secret by the name of its field, none by its looks, nothing endless. */

/** Stands where a secret stood. */
export const REDACTED = "[redacted]";
/** Longest string in a log line, in characters; the rest is cut and said to be. */
export const LOG_STRING_LENGTH_MAX = 8_192;
/** Deepest nesting in a log line; what lies deeper is left out. A cycle ends here too. */
export const LOG_DEPTH_MAX = 8;
/** Most members of one object or list in a log line. */
export const LOG_MEMBERS_MAX = 256;

/** Names of fields whose value is never logged, in lower case without `-` and `_`. */
const SECRET_NAMES: ReadonlySet<string> = new Set(["key", "csr", "cookie", "setcookie", "tokens"]);
/** A field whose name ends with one of these is never logged either (`joinToken`, `tls_private_key`). */
const SECRET_ENDINGS: readonly string[] = [
  "token",
  "secret",
  "password",
  "passphrase",
  "authorization",
  "privatekey",
  "apikey",
  "kubeconfig",
  "stringdata",
  // The annotation in which kubectl and flotilla keep a whole manifest, that of a Secret among them.
  "lastappliedconfiguration",
];
const PRIVATE_KEY =
  /-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,32}PRIVATE KEY-----|$)/g;
const BEARER = /\b(bearer|basic)\s+[\w.~+/=-]{8,}/gi;

/** A copy of the fields that can be printed. Total: whatever it is given, it does not throw. */
export function redactFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return members(fields, 0);
}

/** Cuts tokens and private keys out of free text. */
export function redactText(text: string): string {
  const cut =
    text.length > LOG_STRING_LENGTH_MAX
      ? `${text.slice(0, LOG_STRING_LENGTH_MAX)}… (${text.length} characters)`
      : text;
  return cut.replace(PRIVATE_KEY, REDACTED).replace(BEARER, `$1 ${REDACTED}`);
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (typeof value !== "object" || value === null) return value;
  if (depth > LOG_DEPTH_MAX) return "[deeper]";
  if (value instanceof Error) return errorMembers(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Map) return members(Object.fromEntries(value), depth);
  if (Array.isArray(value) || value instanceof Set)
    return [...value].slice(0, LOG_MEMBERS_MAX).map((v) => redactValue(v, depth + 1));
  return members(value, depth);
}

function members(object: object, depth: number): Record<string, unknown> {
  const isSecret = "kind" in object && object.kind === "Secret";
  const entries = Object.entries(object)
    .slice(0, LOG_MEMBERS_MAX)
    .map(([name, value]): [string, unknown] => [
      name,
      value !== undefined && (isSecretName(name) || (isSecret && name === "data"))
        ? REDACTED
        : redactValue(value, depth + 1),
    ]);
  return Object.fromEntries(entries);
}

function errorMembers(error: Error, depth: number): Record<string, unknown> {
  return {
    // Own fields first (`code`, `fields`, `mend` of a CodedError, `errno` of the system), so that these four stay readable.
    ...members(error, depth),
    name: error.name,
    message: redactText(error.message),
    ...(error.stack === undefined ? {} : { stack: redactText(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: redactValue(error.cause, depth + 1) }),
  };
}

function isSecretName(name: string): boolean {
  const plain = name.toLowerCase().replace(/[-_]/g, "");
  return SECRET_NAMES.has(plain) || SECRET_ENDINGS.some((ending) => plain.endsWith(ending));
}
