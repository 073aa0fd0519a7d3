import type {
  Link,
  Session,
  SessionEnd,
  SessionOptions,
} from "@flotilla/edge-agent/app/link/ports";
import type { Bugs } from "../bugs.ts";
import type { EventLoop, Timer } from "../world/event-loop.ts";
import type { ProcessLife } from "../world/process-life.ts";
import { Connection, type Frame } from "./connection.ts";
import type { Road } from "./network.ts";

export interface SimLinkDeps {
  readonly loop: EventLoop;
  readonly life: ProcessLife;
  readonly road: Road;
  /** The hub's listening socket. */
  readonly accept: (connection: Connection) => void;
  /** The node says this, for the first or another time. */
  readonly published: (topic: string, payload: Uint8Array) => void;
  readonly opened: () => void;
  readonly bugs: Bugs;
}

type Opened = Awaited<ReturnType<Link["open"]>>;

/** MQTT sessions over simulated connections, with the promises of the port. */
export class SimLink implements Link {
  readonly #deps: SimLinkDeps;
  readonly #connections = new Set<Connection>();

  constructor(deps: SimLinkDeps) {
    this.#deps = deps;
  }

  open(
    options: SessionOptions,
    onMessage: (topic: string, payload: Uint8Array) => void,
  ): Promise<Opened> {
    return new Promise((resolve) => {
      const { loop, road, accept } = this.#deps;
      if (loop.isSpinning()) return;
      const connection = new Connection(road, loop);
      this.#connections.add(connection);
      const client = new NodeSession(options, connection, this.#deps, {
        onMessage,
        onOpen: resolve,
      });
      accept(connection);
      client.connect();
      void client.ended.then(() => this.#connections.delete(connection));
    });
  }

  /** The process is gone; its kernel says so to the hub, unless the power went. */
  processDied(withGoodbye: boolean): readonly Connection[] {
    for (const connection of this.#connections) connection.close("down", withGoodbye);
    return [...this.#connections];
  }
}

interface Callbacks {
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
  readonly onOpen: (opened: Opened) => void;
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

class NodeSession implements Session {
  readonly ended: Promise<SessionEnd>;
  readonly #options: SessionOptions;
  readonly #connection: Connection;
  readonly #deps: SimLinkDeps;
  readonly #callbacks: Callbacks;
  readonly #waiting = new Map<number, Waiting>();
  #phase: "opening" | "live" | "over" = "opening";
  #packetId = 0;
  #timer: Timer | undefined;
  #isPingOut = false;
  #settle: (end: SessionEnd) => void = () => {};

  constructor(
    options: SessionOptions,
    connection: Connection,
    deps: SimLinkDeps,
    callbacks: Callbacks,
  ) {
    this.#options = options;
    this.#connection = connection;
    this.#deps = deps;
    this.#callbacks = callbacks;
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  connect(): void {
    const { will, subscriptions, keepaliveSeconds, connectTimeoutMs } = this.#options;
    this.#connection.attach("down", (frame) => this.#received(frame));
    const keepaliveMs = keepaliveSeconds * 1000;
    this.#connection.send("up", { kind: "connect", will, subscriptions, keepaliveMs });
    this.#timer = this.#deps.loop.schedule(
      connectTimeoutMs,
      this.#deps.life,
      "connect times out",
      () => this.#end({ kind: "unreachable", detail: "connect timed out" }),
    );
  }

  publish(topic: string, payload: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#deps.loop.isSpinning()) return;
      if (this.#phase !== "live") {
        reject(new Error("the session is over"));
        return;
      }
      const packetId = ++this.#packetId;
      this.#deps.published(topic, payload);
      this.#connection.send("up", { kind: "publish", packetId, topic, payload });
      if (this.#deps.bugs.has("publish-resolves-at-send")) resolve();
      else this.#waiting.set(packetId, { resolve, reject });
    });
  }

  close(): Promise<void> {
    if (this.#phase === "live") this.#connection.send("up", { kind: "disconnect" });
    this.#end({ kind: "closed" });
    return Promise.resolve();
  }

  #received(frame: Frame): void {
    if (!this.#deps.life.isAlive) return;
    switch (frame.kind) {
      case "connack":
        if (frame.refusal === undefined) this.#open();
        else this.#end({ kind: "unauthorized", detail: frame.refusal });
        return;
      case "puback":
        this.#waiting.get(frame.packetId)?.resolve();
        this.#waiting.delete(frame.packetId);
        return;
      case "publish":
        if (this.#phase === "live") this.#callbacks.onMessage(frame.topic, frame.payload);
        return;
      case "pong":
        this.#isPingOut = false;
        return;
      case "closed":
        this.#end(
          this.#phase === "opening"
            ? { kind: "unreachable", detail: "connection refused" }
            : { kind: "closed" },
        );
        return;
      case "connect":
      case "ping":
      case "disconnect":
        return;
    }
  }

  #open(): void {
    if (this.#phase !== "opening") return;
    this.#phase = "live";
    this.#timer?.cancel();
    this.#keepAlive();
    this.#deps.opened();
    this.#callbacks.onOpen({ ok: true, session: this });
  }

  /** A ping when it is time; half a keep-alive later the answer must have come. */
  #keepAlive(): void {
    const { loop, life } = this.#deps;
    const keepaliveMs = this.#options.keepaliveSeconds * 1000;
    this.#timer = loop.schedule(keepaliveMs, life, "pings", () => {
      this.#isPingOut = true;
      this.#connection.send("up", { kind: "ping" });
      this.#timer = loop.schedule(keepaliveMs / 2, life, "awaits pong", () => {
        if (this.#isPingOut) this.#end({ kind: "closed" });
        else this.#keepAlive();
      });
    });
  }

  #end(end: SessionEnd): void {
    if (this.#phase === "over") return;
    const wasOpening = this.#phase === "opening";
    this.#phase = "over";
    this.#timer?.cancel();
    this.#connection.close("down", true);
    for (const { reject } of this.#waiting.values()) reject(new Error("the session is over"));
    this.#waiting.clear();
    if (wasOpening) this.#callbacks.onOpen({ ok: false, end });
    this.#settle(end);
  }
}
