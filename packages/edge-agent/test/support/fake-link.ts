import type { Link, Session, SessionEnd, SessionOptions } from "../../src/app/link/ports.ts";

/** One published message and what the hub does with it. */
export interface FakePublish {
  readonly topic: string;
  readonly message: {
    readonly kind: string;
    readonly id: string;
    readonly epoch: number;
    readonly seq: number;
    readonly replyTo?: string;
    readonly body: Readonly<Record<string, unknown>>;
  };
  readonly ack: () => void;
}

/** One session as the hub sees it. */
export class FakeSession implements Session {
  readonly options: SessionOptions;
  readonly published: FakePublish[] = [];
  readonly ended: Promise<SessionEnd>;
  /** Called for each message; the default acknowledges at once. */
  onPublish: (publish: FakePublish) => void = (publish) => publish.ack();
  readonly #pending = new Set<(error: Error) => void>();
  readonly #onMessage: (topic: string, payload: Uint8Array) => void;
  readonly #settle: (end: SessionEnd) => void;
  isOver = false;

  constructor(options: SessionOptions, onMessage: (topic: string, payload: Uint8Array) => void) {
    this.options = options;
    this.#onMessage = onMessage;
    const ended = Promise.withResolvers<SessionEnd>();
    this.ended = ended.promise;
    this.#settle = ended.resolve;
  }

  get kinds(): readonly string[] {
    return this.published.map((p) => p.message.kind);
  }

  publish(topic: string, payload: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.isOver) {
        reject(new Error("ended"));
        return;
      }
      this.#pending.add(reject);
      const publish: FakePublish = {
        topic,
        message: JSON.parse(new TextDecoder().decode(payload)),
        ack: () => {
          this.#pending.delete(reject);
          resolve();
        },
      };
      this.published.push(publish);
      this.onPublish(publish);
    });
  }

  /** The hub sends bytes. */
  sendBytes(payload: Uint8Array, topic = this.options.subscriptions[0] ?? ""): void {
    if (!this.isOver) this.#onMessage(topic, payload);
  }

  /** The hub sends a message. */
  send(kind: string, body: unknown, over: Readonly<Record<string, unknown>> = {}): void {
    const message = { v: 1, kind, id: `${kind}-1`, sentAt: 1_750_000_000_000, body, ...over };
    this.sendBytes(new TextEncoder().encode(JSON.stringify(message)));
  }

  /** The session breaks. */
  end(end: SessionEnd = { kind: "unreachable", detail: "cut" }): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const reject of this.#pending) reject(new Error("ended"));
    this.#pending.clear();
    this.#settle(end);
  }

  async close(): Promise<void> {
    this.end({ kind: "closed" });
  }
}

/** A hub that is there or not, and remembers its sessions. */
export class FakeLink implements Link {
  readonly sessions: FakeSession[] = [];
  openCount = 0;
  /** What the next opens end with; undefined: they succeed. */
  failure: SessionEnd | undefined;
  /** Called with each new session before it is handed out. */
  onOpen: (session: FakeSession) => void = () => undefined;

  async open(
    options: SessionOptions,
    onMessage: (topic: string, payload: Uint8Array) => void,
    _signal?: AbortSignal,
  ): Promise<
    | { readonly ok: true; readonly session: Session }
    | { readonly ok: false; readonly end: SessionEnd }
  > {
    this.openCount += 1;
    if (this.failure !== undefined) return { ok: false, end: this.failure };
    const session = new FakeSession(options, onMessage);
    this.sessions.push(session);
    this.onOpen(session);
    return { ok: true, session };
  }

  /** The newest session. */
  get last(): FakeSession {
    const session = this.sessions.at(-1);
    if (session === undefined) throw new Error("no session was opened");
    return session;
  }
}
