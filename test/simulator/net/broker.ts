import type { NodeLink, UplinkHandler } from "@flotilla/hub/app/link/ports";
import type { NodeId } from "@flotilla/shared/kernel/ids";
import { encode } from "@flotilla/shared/protocol/codec";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import type { HubState } from "@flotilla/shared/protocol/hub-state";
import {
  DEFAULT_SHARD,
  downTopic,
  HUB_STATE_TOPIC,
  parseUpTopic,
} from "@flotilla/shared/protocol/topics";
import type { Bugs } from "../bugs.ts";
import type { EventLoop, Timer } from "../world/event-loop.ts";
import type { ProcessLife } from "../world/process-life.ts";
import type { Connection, Frame } from "./connection.ts";

/** A peer that is silent for this many keep-alives is taken for dead (MQTT 3.1.1 §3.1.2.10). */
const KEEPALIVE_FACTOR = 1.5;

interface BrokerSession {
  readonly nodeId: NodeId;
  readonly connection: Connection;
  readonly will: { readonly topic: string; readonly payload: Uint8Array };
  readonly subscriptions: readonly string[];
  readonly keepaliveMs: number;
  lastHeardMs: number;
  isLive: boolean;
  timer: Timer | undefined;
}

/** What the checks want to see. */
export interface BrokerWitness {
  /** The hub has said that this message's effect is durable. */
  acknowledged(nodeId: NodeId, kind: string, payload: Uint8Array): void;
  /** The hub sends this. */
  sentDown(nodeId: NodeId, message: DownMessage, payload: Uint8Array): void;
}

export interface BrokerDeps {
  readonly loop: EventLoop;
  readonly life: ProcessLife;
  readonly uplink: UplinkHandler;
  readonly admits: (nodeId: NodeId) => boolean;
  readonly wallMs: () => number;
  readonly witness: BrokerWitness;
  readonly opened: (nodeId: NodeId) => void;
  readonly bugs: Bugs;
}

/** The hub's end of the sessions, with the rules of the embedded broker: own topics only, acknowledged after storing, newest session wins. */
export class SimBroker {
  readonly link: NodeLink;
  readonly #term: number;
  readonly #deps: BrokerDeps;
  readonly #sessions = new Map<NodeId, BrokerSession>();
  readonly #connections = new Set<Connection>();

  constructor(options: { readonly term: number }, deps: BrokerDeps) {
    this.#term = options.term;
    this.#deps = deps;
    this.link = {
      send: (nodeId, message) => Promise.resolve(this.#send(nodeId, message)),
      isConnected: (nodeId) => this.#sessions.has(nodeId),
      disconnect: (nodeId) => {
        const session = this.#sessions.get(nodeId);
        if (session !== undefined) this.#end(session, { will: false });
      },
    };
  }

  /** The kernel closes the sockets of a process that died. */
  processDied(): void {
    for (const session of this.#sessions.values()) session.timer?.cancel();
    this.#sessions.clear();
    for (const connection of this.#connections) connection.close("up", true);
    this.#connections.clear();
  }

  accept(nodeId: NodeId, connection: Connection): void {
    this.#connections.add(connection);
    let session: BrokerSession | undefined;
    connection.attach("up", (frame) => {
      if (frame.kind === "connect") session = this.#connect(nodeId, connection, frame);
      else if (session?.isLive === true) this.#received(session, frame);
      else if (frame.kind === "closed") this.#drop(connection);
    });
  }

  /** Puts a message before the hub as if it had just come over the node's session. False when there is none. */
  inject(nodeId: NodeId, kind: string, payload: Uint8Array): boolean {
    const session = this.#sessions.get(nodeId);
    if (session === undefined) return false;
    void this.#receive(session, kind, payload);
    return true;
  }

  /** Puts bytes on a node's down topic. */
  injectDown(nodeId: NodeId, payload: Uint8Array): boolean {
    const session = this.#sessions.get(nodeId);
    if (session === undefined) return false;
    const topic = downTopic({ shard: DEFAULT_SHARD, nodeId });
    session.connection.send("down", { kind: "publish", packetId: 0, topic, payload });
    return true;
  }

  #connect(
    nodeId: NodeId,
    connection: Connection,
    frame: Extract<Frame, { kind: "connect" }>,
  ): BrokerSession | undefined {
    if (!this.#deps.admits(nodeId)) {
      connection.send("down", { kind: "connack", refusal: "not-admitted" });
      return undefined;
    }
    const before = this.#sessions.get(nodeId);
    if (before !== undefined) this.#end(before, { will: false });
    const session: BrokerSession = {
      nodeId,
      connection,
      will: frame.will,
      subscriptions: frame.subscriptions,
      keepaliveMs: frame.keepaliveMs,
      lastHeardMs: this.#deps.loop.nowMs,
      isLive: true,
      timer: undefined,
    };
    this.#sessions.set(nodeId, session);
    this.#watch(session);
    this.#deps.loop.trace.say(`hub: session of ${nodeId} opens`);
    connection.send("down", { kind: "connack" });
    if (frame.subscriptions.includes(HUB_STATE_TOPIC)) this.#sendState(session);
    this.#deps.uplink.sessionChanged(nodeId, true);
    this.#deps.opened(nodeId);
    return session;
  }

  #sendState(session: BrokerSession): void {
    const state: HubState = { term: this.#term, online: true, sentAt: this.#deps.wallMs() };
    const payload = new TextEncoder().encode(JSON.stringify(state));
    session.connection.send("down", {
      kind: "publish",
      packetId: 0,
      topic: HUB_STATE_TOPIC,
      payload,
    });
  }

  #watch(session: BrokerSession): void {
    const { loop, life } = this.#deps;
    const limitMs = session.keepaliveMs * KEEPALIVE_FACTOR;
    const waitMs = Math.max(1, session.lastHeardMs + limitMs - loop.nowMs);
    session.timer = loop.schedule(waitMs, life, `keep-alive of ${session.nodeId}`, () => {
      if (loop.nowMs - session.lastHeardMs >= limitMs) this.#end(session, { will: true });
      else this.#watch(session);
    });
  }

  #received(session: BrokerSession, frame: Frame): void {
    session.lastHeardMs = this.#deps.loop.nowMs;
    switch (frame.kind) {
      case "publish":
        void this.#publish(session, frame);
        return;
      case "ping":
        session.connection.send("down", { kind: "pong" });
        return;
      case "disconnect":
        this.#end(session, { will: false });
        return;
      case "closed":
        this.#end(session, { will: true });
        return;
      case "connect":
      case "connack":
      case "puback":
      case "pong":
        return;
    }
  }

  async #publish(
    session: BrokerSession,
    frame: Extract<Frame, { kind: "publish" }>,
  ): Promise<void> {
    const address = parseUpTopic(frame.topic);
    // What the ACL of the broker does: a foreign topic ends the session.
    if (address?.nodeId !== session.nodeId) {
      this.#end(session, { will: true });
      return;
    }
    const early = this.#deps.bugs.has("ack-before-commit");
    if (early) this.#acknowledge(session, frame, address.kind);
    const stored = await this.#receive(session, address.kind, frame.payload);
    if (!stored) this.#end(session, { will: true });
    else if (!early) this.#acknowledge(session, frame, address.kind);
  }

  async #receive(session: BrokerSession, kind: string, payload: Uint8Array): Promise<boolean> {
    try {
      await this.#deps.uplink.receive(session.nodeId, kind, payload);
      return true;
    } catch {
      return false;
    }
  }

  #acknowledge(
    session: BrokerSession,
    frame: Extract<Frame, { kind: "publish" }>,
    kind: string,
  ): void {
    if (!this.#deps.life.isAlive || !session.isLive) return;
    this.#deps.witness.acknowledged(session.nodeId, kind, frame.payload);
    session.connection.send("down", { kind: "puback", packetId: frame.packetId });
  }

  #send(nodeId: NodeId, message: DownMessage): boolean {
    const session = this.#sessions.get(nodeId);
    const topic = downTopic({ shard: DEFAULT_SHARD, nodeId });
    if (session === undefined || !session.subscriptions.includes(topic)) return false;
    const payload = encode(message);
    this.#deps.witness.sentDown(nodeId, message, payload);
    session.connection.send("down", { kind: "publish", packetId: 0, topic, payload });
    return true;
  }

  #end(session: BrokerSession, how: { readonly will: boolean }): void {
    if (!session.isLive) return;
    session.isLive = false;
    session.timer?.cancel();
    if (this.#sessions.get(session.nodeId) === session) this.#sessions.delete(session.nodeId);
    this.#drop(session.connection);
    this.#deps.loop.trace.say(`hub: session of ${session.nodeId} is over`);
    this.#deps.uplink.sessionChanged(session.nodeId, false);
    if (how.will) void this.#receive(session, "death", session.will.payload);
  }

  #drop(connection: Connection): void {
    connection.close("up", true);
    this.#connections.delete(connection);
  }
}
