/** The MQTT session over mqtt.js. Nothing of the library is seen outside this folder. */
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { DOWN_MESSAGE_BYTES_MAX, TOPIC_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import { type IClientOptions, MqttClient } from "mqtt";
import type { Link, Session, SessionEnd, SessionOptions } from "../../app/link/ports.ts";
import { FrameLimit } from "./frame-limit.ts";
import { endOfError } from "./session-end.ts";

/** How long a session that is closed may take to say goodbye; then it is cut. */
export const CLOSE_TIMEOUT_MS = 1_000;
/** Largest packet that is taken from the broker: a message, its topic and its packet id. */
const PACKET_BYTES_MAX = DOWN_MESSAGE_BYTES_MAX + TOPIC_BYTES_MAX + 4;
/** SUBACK: refused (MQTT 3.1.1 §3.9.3). */
const SUBSCRIPTION_REFUSED = 0x80;

type OnMessage = (topic: string, payload: Uint8Array) => void;
type Opened =
  | { readonly ok: true; readonly session: Session }
  | { readonly ok: false; readonly end: SessionEnd };

/** Why a message was not acknowledged: the session has ended. */
export type LinkErrorCode = "session-ended";

/** Opens MQTT 3.1.1 sessions over mutual TLS. */
export class MqttLink implements Link {
  readonly #deps: { readonly clock: Pick<Clock, "sleep"> };

  constructor(deps: { readonly clock: Pick<Clock, "sleep"> }) {
    this.#deps = deps;
  }

  async open(options: SessionOptions, onMessage: OnMessage, signal: AbortSignal): Promise<Opened> {
    if (signal.aborted) return { ok: false, end: { kind: "closed" } };
    try {
      const session = new MqttSession(options, { ...this.#deps, onMessage });
      const onAbort = (): void => void session.close();
      signal.addEventListener("abort", onAbort, { once: true });
      void session.ended.then(() => signal.removeEventListener("abort", onAbort));
      return await session.opened;
    } catch (error) {
      // What is thrown before there is a socket: a key, a certificate or an address that cannot be read.
      return { ok: false, end: { kind: "unreachable", detail: messageOf(error) } };
    }
  }
}

class MqttSession implements Session {
  readonly opened: Promise<Opened>;
  readonly ended: Promise<SessionEnd>;
  readonly #options: SessionOptions;
  readonly #deps: { readonly clock: Pick<Clock, "sleep">; readonly onMessage: OnMessage };
  readonly #client: MqttClient;
  /** Rejections of what is published and not acknowledged: mqtt.js forgets them when the socket just closes. */
  readonly #pending = new Set<(error: Error) => void>();
  readonly #settleOpened: (opened: Opened) => void;
  readonly #settleEnded: (end: SessionEnd) => void;
  /** The first error; what comes after it is its consequence. */
  #cause: SessionEnd | undefined;
  #isSecure = false;
  #isOpen = false;
  #isOver = false;

  constructor(
    options: SessionOptions,
    deps: { readonly clock: Pick<Clock, "sleep">; readonly onMessage: OnMessage },
  ) {
    this.#options = options;
    this.#deps = deps;
    const opened = Promise.withResolvers<Opened>();
    const ended = Promise.withResolvers<SessionEnd>();
    this.opened = opened.promise;
    this.ended = ended.promise;
    this.#settleOpened = opened.resolve;
    this.#settleEnded = ended.resolve;
    this.#client = new MqttClient(() => this.#connect(), clientOptions(options));
    this.#client.on("connect", this.#onConnect);
    this.#client.on("message", this.#onMessage);
    this.#client.on("error", this.#onError);
    this.#client.on("close", this.#onClose);
  }

  publish(topic: string, payload: Uint8Array, options: { retain: boolean }): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) {
        reject(sessionEnded());
        return;
      }
      this.#pending.add(reject);
      const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
      this.#client.publish(topic, bytes, { qos: 1, retain: options.retain }, (error) => {
        this.#pending.delete(reject);
        if (error === undefined || error === null) resolve();
        else reject(sessionEnded(error));
      });
    });
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#cause ??= { kind: "closed" };
    if (!this.#isOpen) {
      this.#client.stream.destroy();
      await this.ended;
      return;
    }
    // With messages under way mqtt.js would wait for their acknowledgement, which may never come.
    this.#client.end(false);
    const timer = new AbortController();
    await Promise.race([this.ended, this.#deps.clock.sleep(CLOSE_TIMEOUT_MS, timer.signal)]).catch(
      () => undefined,
    );
    timer.abort();
    if (this.#isOver) return;
    this.#client.stream.destroy();
    await this.ended;
  }

  /** The certificate of the hub is checked against the CA of enrolment and against the host name, always. */
  #connect(): TLSSocket {
    const { url, certificate, privateKey, caCertificate } = this.#options;
    const { hostname, port } = new URL(url);
    const host = hostname.replace(/^\[|\]$/g, "");
    const socket = connectTls({
      host,
      port: Number(port === "" ? "8883" : port),
      ca: caCertificate,
      cert: certificate,
      key: privateKey,
      minVersion: "TLSv1.2",
      rejectUnauthorized: true,
      ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
    });
    socket.setNoDelay(true);
    socket.once("secureConnect", () => {
      this.#isSecure = true;
    });
    const limit = new FrameLimit({ bytesMax: PACKET_BYTES_MAX });
    socket.on("data", (chunk: Buffer) => {
      if (limit.accepts(chunk)) return;
      this.#cause ??= {
        kind: "refused",
        detail: `a packet of more than ${PACKET_BYTES_MAX} bytes`,
      };
      socket.destroy();
    });
    return socket;
  }

  readonly #onConnect = (): void => {
    this.#client.subscribe([...this.#options.subscriptions], { qos: 1 }, (error, granted) => {
      const refused = granted?.find((g) => g.qos === SUBSCRIPTION_REFUSED);
      if (error === null && refused === undefined) {
        this.#isOpen = true;
        this.#settleOpened({ ok: true, session: this });
        return;
      }
      const detail = error === null ? `no subscription to ${refused?.topic}` : messageOf(error);
      this.#cause ??= { kind: "refused", detail };
      this.#client.stream.destroy();
    });
  };

  readonly #onMessage = (topic: string, payload: Uint8Array): void => {
    if (!this.#isOver) this.#deps.onMessage(topic, payload);
  };

  readonly #onError = (error: unknown): void => {
    this.#cause ??= endOfError(error, this.#isSecure && !this.#isOpen);
    this.#client.stream.destroy();
  };

  readonly #onClose = (): void => {
    if (this.#isOver) return;
    this.#isOver = true;
    const end = this.#cause ?? this.#silentEnd();
    this.#client.off("connect", this.#onConnect);
    this.#client.off("message", this.#onMessage);
    this.#client.off("close", this.#onClose);
    this.#client.off("error", this.#onError);
    // An error that comes after the end has nobody to tell, and must not end the process.
    this.#client.on("error", () => undefined);
    this.#client.end(true);
    for (const reject of this.#pending) reject(sessionEnded());
    this.#pending.clear();
    this.#settleOpened({ ok: false, end });
    this.#settleEnded(end);
  };

  /** The connection went away without an error. */
  #silentEnd(): SessionEnd {
    if (this.#isOpen) return { kind: "unreachable", detail: "the connection was lost" };
    return this.#isSecure
      ? { kind: "refused", detail: "the hub closed the connection before it accepted the session" }
      : { kind: "unreachable", detail: "the connection was closed during the TLS handshake" };
  }
}

function clientOptions(options: SessionOptions): IClientOptions {
  return {
    clientId: options.nodeId,
    protocolVersion: 4,
    clean: true,
    keepalive: options.keepaliveSeconds,
    connectTimeout: options.connectTimeoutMs,
    will: {
      topic: options.will.topic,
      payload: Buffer.from(options.will.payload),
      qos: 1,
      retain: false,
    },
    // Reconnecting, queueing and subscribing again are the link service's: one place decides.
    reconnectPeriod: 0,
    queueQoSZero: false,
    resubscribe: false,
    // The cache of encoded numbers is shared by all clients of the process and costs megabytes.
    writeCache: false,
    timerVariant: "native",
  };
}

function sessionEnded(cause?: unknown): CodedError<LinkErrorCode> {
  return new CodedError(
    "session-ended",
    "the session ended before the hub acknowledged",
    cause === undefined ? {} : { cause },
  );
}
