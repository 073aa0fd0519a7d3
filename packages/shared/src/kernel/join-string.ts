import { isDnsSubdomain } from "./ids.ts";

/**
 * The join string: the one thing that is carried to a new device. It names the hub, proves who may join, and pins the
 * hub's CA, so that not a byte of the secret goes to anybody else:
 * `flotilla://<api host:port>/<token name>.<secret>#sha256:<fingerprint of the CA certificate>`.
 */
export interface JoinStringParts {
  /** `https://host:port`. */
  readonly apiUrl: string;
  /** `<token name>.<secret>`, as POST /enrolment/v1/join wants it. */
  readonly token: string;
  /** Lower-case hexadecimal SHA-256 of the CA certificate's DER. */
  readonly caFingerprint: string;
}

/** Longest join string in characters; longer texts are refused unread. */
export const JOIN_STRING_LENGTH_MAX = 1024;

const SHAPE = /^flotilla:\/\/([^/?#@\s]{1,261})\/([^/?#\s]{1,512})#sha256:([0-9a-fA-F]{64})$/;
const AUTHORITY = /^(\[[0-9a-fA-F:.]{2,45}\]|[a-zA-Z0-9.-]{1,253}):([0-9]{1,5})$/;
const SECRET = /^[A-Za-z0-9_-]{16,128}$/;

/** Reads a join string; `error` names the part that is wrong and the mend, and never repeats the secret. */
export function parseJoinString(text: string): JoinStringParts | { readonly error: string } {
  const trimmed = text.length <= JOIN_STRING_LENGTH_MAX ? text.trim() : "";
  const [, authority = "", token = "", fingerprint = ""] = SHAPE.exec(trimmed) ?? [];
  if (authority === "")
    return {
      error:
        "the join string does not look like flotilla://<host:port>/<token>#sha256:<fingerprint>; copy it whole, in quotes, from `flotilla node join-token`",
    };
  if (!isAuthority(authority))
    return { error: `the join string's address \`${authority}\` is no host:port` };
  if (splitJoinToken(token) === undefined)
    return { error: "the join string's token is not <name>.<secret>; copy the string whole" };
  return { apiUrl: `https://${authority}`, token, caFingerprint: fingerprint.toLowerCase() };
}

/** Writes a join string. `apiAddress` is `host:port`. */
export function formatJoinString(parts: {
  readonly apiAddress: string;
  readonly tokenName: string;
  readonly secret: string;
  readonly caFingerprint: string;
}): string {
  return `flotilla://${parts.apiAddress}/${parts.tokenName}.${parts.secret}#sha256:${parts.caFingerprint}`;
}

/** Splits `<token name>.<secret>` at its last dot: names may hold dots, secrets cannot. Undefined when it is no token. */
export function splitJoinToken(
  token: string,
): { readonly name: string; readonly secret: string } | undefined {
  const dot = token.lastIndexOf(".");
  const name = token.slice(0, Math.max(dot, 0));
  const secret = token.slice(dot + 1);
  return isDnsSubdomain(name) && SECRET.test(secret) ? { name, secret } : undefined;
}

function isAuthority(authority: string): boolean {
  const [, host = "", port = ""] = AUTHORITY.exec(authority) ?? [];
  const portNumber = Number(port);
  if (host === "" || portNumber < 1 || portNumber > 65_535) return false;
  return host.startsWith("[") || isDnsSubdomain(host.toLowerCase());
}
