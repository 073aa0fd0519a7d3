/** Limits of the artifact server. docs/api.md states what happens at each. */

/** Most connections of nodes at once; more are closed at accept. */
export const CONNECTIONS_MAX = 2_000;
/** Most connections of one node. */
export const NODE_CONNECTIONS_MAX = 8;
/** Most connections of administrators at once; more are closed at accept. */
export const ADMIN_CONNECTIONS_MAX = 64;
/** Most connections of one address that are before the end of their TLS handshake. */
export const HALF_OPEN_PER_ADDRESS_MAX = 64;
/** TLS handshake and headers must each be through within this time. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
export const HEADERS_TIMEOUT_MS = 10_000;
/** Largest request line with all headers. */
export const HEADER_BYTES_MAX: number = 8 * 1024;
/** Most headers of a request. */
export const HEADERS_MAX = 50;
/** An idle connection is kept open for this long. */
export const KEEP_ALIVE_TIMEOUT_MS = 30_000;
/** Requests of one connection, after which it is closed; nodes open another. */
export const REQUESTS_PER_CONNECTION_MAX = 100_000;
/** Bytes that are read, kept and sent as one piece. */
export const PIECE_BYTES: number = 256 * 1024;
/** A reader must take a piece within this time, 2 KiB a second; else it is cut. */
export const PIECE_MS_MAX = 120_000;
/** An upload must send something within this time; what it sent is kept. */
export const UPLOAD_IDLE_MS_MAX = 30_000;
/** Pieces in memory that were read lately. */
export const CACHE_BYTES_MAX: number = 64 * 1024 * 1024;
/** The hub's word that a node may ask holds for so long; a revocation ends it at once. */
export const ADMISSION_MS = 60_000;
/** Requests under way may take this long after the stop; then they are cut. */
export const DRAIN_MS_MAX = 5_000;
/** What was served is told to the hub's metrics this often. */
export const TOLD_EVERY_MS = 1_000;
/** Uploads that have expired are looked for this often. */
export const SWEEP_EVERY_MS: number = 3_600_000;
