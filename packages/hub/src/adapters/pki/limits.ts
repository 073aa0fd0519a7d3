/** Limits and lifetimes of the hub's own certificate authority. */

const DAY_MS = 86_400_000;

/** A node's client certificate is good for 90 days; the agent renews at half of it. */
export const NODE_CERTIFICATE_MS: number = 90 * DAY_MS;
/** How long after its end a node's certificate still proves who asks for the next one: a device that was off for a year comes back by itself. */
export const RENEWAL_GRACE_MS: number = 400 * DAY_MS;
/** The CA outlives the devices; replacing it means enrolling the fleet anew (SECURITY.md, "Rotate"). */
export const CA_CERTIFICATE_MS: number = 20 * 365 * DAY_MS;
/** Server certificates of the API and of the broker. */
export const SERVER_CERTIFICATE_MS: number = 820 * DAY_MS;
/** A server certificate with less than this left is made anew when it is asked for. */
export const SERVER_RENEWAL_MS: number = 270 * DAY_MS;
/** A node's certificate begins this much earlier, for hubs whose clocks differ a little. */
export const BACKDATE_MS: number = 5 * 60_000;
/** Largest certificate request in characters of PEM; a P-256 request has about 500. */
export const CSR_LENGTH_MAX: number = 16 * 1024;
/** Largest certificate in characters of PEM that is read in a proof of possession. */
export const CERTIFICATE_LENGTH_MAX: number = 16 * 1024;
/** Largest message of a proof of possession in characters. */
export const PROOF_MESSAGE_LENGTH_MAX = 1024;
