import { SUBSCRIPTIONS_MAX, TOPIC_BYTES_MAX } from "@flotilla/shared/protocol/limits";

/** Limits of the embedded broker. What happens at each is said beside it. */
export interface BrokerLimits {
  /** Connections at once; more are dropped by the listener. */
  readonly connectionsMax: number;
  /** New connections a second, before the TLS handshake, and how many may come at once; more are closed unread. */
  readonly acceptPerSecond: number;
  readonly acceptBurst: number;
  /** Connections of one address that have not finished CONNECT; more are closed unread. */
  readonly halfOpenPerAddressMax: number;
  /** From TCP accept to accepted CONNECT; then closed. */
  readonly connectTimeoutMs: number;
  /** Longest keepalive that a node may ask for; longer, or none, is refused with code 6. */
  readonly keepaliveSecondsMax: number;
  /** A session that takes nothing for so long is closed. */
  readonly drainTimeoutMs: number;
  /** Bytes that wait for one slow session; at more it is closed. */
  readonly sendBufferBytesMax: number;
  /** Packets a second of one session, and how many may come at once; then its socket is not read for a while. */
  readonly packetsPerSecond: number;
  readonly packetBurst: number;
  /** Bytes a second of one session, and how many may come at once; then its socket is not read for a while. */
  readonly bytesPerSecond: number;
  readonly byteBurst: number;
  /** A session that has been held back for so long without a pause is closed. A full outbox drains faster. */
  readonly throttledMsMax: number;
  /** Sessions taken over from each other within the window before the certificate is put in quarantine, and for how long. */
  readonly takeoversMax: number;
  readonly takeoverWindowMs: number;
  readonly quarantineMs: number;
  /** How often live sessions are asked about again. */
  readonly admissionRecheckMs: number;
  /** How long a stopping broker waits for messages that are being stored. */
  readonly stopDrainMs: number;
}

export const BROKER_LIMITS: BrokerLimits = {
  connectionsMax: 50_000,
  acceptPerSecond: 250,
  acceptBurst: 500,
  halfOpenPerAddressMax: 50,
  connectTimeoutMs: 10_000,
  keepaliveSecondsMax: 300,
  drainTimeoutMs: 10_000,
  sendBufferBytesMax: 4 * 1024 * 1024,
  packetsPerSecond: 50,
  packetBurst: 200,
  bytesPerSecond: 256 * 1024,
  byteBurst: 1024 * 1024,
  throttledMsMax: 900_000,
  takeoversMax: 3,
  takeoverWindowMs: 600_000,
  quarantineMs: 60_000,
  admissionRecheckMs: 60_000,
  stopDrainMs: 5_000,
};

/** Most levels of a topic. */
export const TOPIC_LEVELS_MAX = 8;
/** Largest SUBSCRIBE or UNSUBSCRIBE: SUBSCRIPTIONS_MAX filters of TOPIC_BYTES_MAX with length and QoS, and the packet id. */
export const SUBSCRIBE_BYTES_MAX: number = 2 + SUBSCRIPTIONS_MAX * (TOPIC_BYTES_MAX + 3);
/** A session that is so many bursts over its rate within one read is closed rather than held back. */
export const FLOOD_BURSTS = 10;
/** How long a closing connection may take for its last bytes. */
export const LINGER_MS = 1_000;
