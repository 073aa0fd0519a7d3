/** Limits of the HTTP API. docs/api.md states what happens at each. */

/** Largest request body of the resource API: 1 MiB. More is answered 413 without being read. */
export const BODY_BYTES_MAX: number = 1024 * 1024;
/** Largest body of an enrolment request. */
export const ENROLMENT_BODY_BYTES_MAX: number = 16 * 1024;
/** Most bytes of trust metadata in one upload, and of the request that carries them in base64. */
export const METADATA_UPLOAD_BYTES_MAX: number = 8 * 1024 * 1024;
export const METADATA_BODY_BYTES_MAX: number = 11 * 1024 * 1024;
/** Most aliases that a YAML body may resolve to; a bomb is made of them. */
export const YAML_ALIASES_MAX = 50;
/** Most objects of a list in YAML: writing it is thirty times slower than JSON and would hold up everybody else. */
export const YAML_ITEMS_MAX = 500;
/** A client must have sent its headers within this time of connecting, or of its last request. */
export const HEADERS_TIMEOUT_MS = 10_000;
/** A client must have sent the whole request within this time. */
export const REQUEST_TIMEOUT_MS = 30_000;
/** An idle connection is kept open for this long. */
export const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** First byte, TLS handshake and plain requests must be through within this time each. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Most bytes of a plain HTTP request that are read before it is refused. */
export const PLAIN_REQUEST_BYTES_MAX: number = 8 * 1024;
/** Most connections at once; more are closed at accept. */
export const CONNECTIONS_MAX = 10_000;
/** Most watches at once; more are answered 429. */
export const WATCHES_MAX = 5_000;
/** A watch ends after this many seconds when the client names no `timeoutSeconds`. */
export const WATCH_TIMEOUT_SECONDS_DEFAULT = 1_800;
/** Longest `timeoutSeconds`; more is read as this. */
export const WATCH_TIMEOUT_SECONDS_MAX = 86_400;
/** A watcher that takes nothing off its socket for this long is dropped. */
export const WATCH_STALL_MS_MAX = 30_000;
/** In-flight requests may take this long after `close`; then their connections are cut. */
export const DRAIN_MS_MAX = 10_000;
/** Longest accepted field manager, as kube-apiserver has it. */
export const FIELD_MANAGER_LENGTH_MAX = 128;
/** Longest selector or continue token in characters. */
export const SELECTOR_LENGTH_MAX = 4_096;
/** Most Warning headers of one answer, and the longest text of one. */
export const WARNINGS_MAX = 32;
export const WARNING_LENGTH_MAX = 256;
/** Lines of a log when `tailLines` is not given, and at most. */
export const LOG_LINES_DEFAULT = 500;
export const LOG_LINES_MAX = 10_000;
/** Enrolment requests that one address (IPv6: one /64) may make at once, and how many it earns back per second. */
export const ENROLMENT_BURST = 100;
export const ENROLMENT_PER_SECOND = 5;
/** Most addresses that are remembered; at the limit the one quiet for longest is forgotten. */
export const RATE_LIMITED_ADDRESSES_MAX = 10_000;
