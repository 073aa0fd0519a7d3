/** Limits of the wire. docs/protocol.md states what happens at each. */

/** Largest packet from a peer that has not finished CONNECT: 4 KiB, decided from the fixed header. */
export const CONNECT_PACKET_BYTES_MAX: number = 4 * 1024;
/** Largest packet from an enrolled node. */
export const UP_PACKET_BYTES_MAX: number = 256 * 1024;
/** Largest message to a node: a whole signed desired state. */
export const DOWN_MESSAGE_BYTES_MAX: number = 1024 * 1024;
/** Of a larger message that is refused the wrong field is not looked for: a hostile one of 240 KiB cost 100 ms that way. */
export const DECODE_DETAIL_BYTES_MAX: number = 16 * 1024;
/** Longest topic in bytes. */
export const TOPIC_BYTES_MAX = 256;
/** Most subscriptions of one node. */
export const SUBSCRIPTIONS_MAX = 8;
/** Longest log answer in bytes of text. */
export const LOG_CHUNK_BYTES_MAX: number = 64 * 1024;
/** Longest answer to `bytes-get`: 96 KiB, 128 KiB in base64. */
export const BYTES_ANSWER_BYTES_MAX: number = 96 * 1024;
/** Longest manifest that an offer carries; a longer one is fetched as `manifests/<sha256>`. */
export const OFFER_MANIFEST_BYTES_MAX: number = 192 * 1024;
/** Most deltas one after the other. */
export const OFFER_STEPS_MAX = 4;
/** Most peers of one offer. */
export const OFFER_PEERS_MAX = 64;
