import { messageOf } from "@flotilla/shared/kernel/errors";
import type { SessionEnd } from "../../app/link/ports.ts";

/** CONNACK return codes (MQTT 3.1.1 §3.2.2.3) that say: this client may not. */
const NOT_AUTHORIZED_CODES: readonly number[] = [4, 5];
const REFUSED_CODES: readonly number[] = [1, 2];
/** CONNACK: server unavailable. The hub is there and has no time for us, which no certificate would mend. */
const UNAVAILABLE_CODE = 3;

/** TLS alerts of a server that does not accept our certificate (RFC 8446 §6.2), as OpenSSL names them. */
const CERTIFICATE_ALERT =
  /^ERR_SSL_[A-Z0-9]+_ALERT_(?:[A-Z_]*CERTIFICATE[A-Z_]*|UNKNOWN_CA|ACCESS_DENIED)$/;

/** How a connection ends that the other side threw away. */
const CUT_CODES: readonly string[] = ["ECONNRESET", "EPIPE"];

/**
 * What an error of the client or of its socket means for the session. `wasSecure`: the TLS handshake was done and the
 * session not open yet. A server that dislikes our certificate may cut the connection there without an alert.
 */
export function endOfError(error: unknown, wasSecure: boolean): SessionEnd {
  const detail = messageOf(error);
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  if (typeof code === "number") {
    if (NOT_AUTHORIZED_CODES.includes(code)) return { kind: "unauthorized", detail };
    if (REFUSED_CODES.includes(code)) return { kind: "refused", detail };
    if (code === UNAVAILABLE_CODE) return { kind: "unreachable", detail };
  }
  if (typeof code === "string" && CERTIFICATE_ALERT.test(code))
    return {
      kind: "unauthorized",
      detail: `the hub does not accept this node's certificate (${code})`,
    };
  if (typeof code === "string" && wasSecure && CUT_CODES.includes(code))
    return { kind: "refused", detail: `the hub cut the connection before the session (${code})` };
  return { kind: "unreachable", detail: typeof code === "string" ? `${detail} (${code})` : detail };
}
