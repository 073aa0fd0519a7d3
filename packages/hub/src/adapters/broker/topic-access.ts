import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import { SUBSCRIPTIONS_MAX } from "@flotilla/shared/protocol/limits";
import type { Client, PublishPacket, Subscription } from "aedes";
import type { UplinkHandler } from "../../app/link/ports.ts";
import { isReadable, publishableKind } from "./access.ts";
import { type Session, sessionFields } from "./session.ts";

type Done = (error?: Error | null) => void;

interface TopicAccessDeps {
  readonly uplink: Pick<UplinkHandler, "receive">;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly sessionOf: (client: Client) => Session | undefined;
}

/** What a session may publish and subscribe to, and the way of a message from there to the hub and its acknowledgement. */
export class TopicAccess {
  readonly #deps: TopicAccessDeps;
  readonly #receiving = new Set<Promise<void>>();

  constructor(deps: TopicAccessDeps) {
    this.#deps = deps;
  }

  /** Hook of the library: called for every publish and will, before it is acknowledged. */
  publish(client: Client | null, packet: PublishPacket, done: Done): void {
    const session = client === null ? undefined : this.#deps.sessionOf(client);
    const isWill = client?.closed === true;
    if (session === undefined || (isWill && session.dropWill)) {
      done(new Error("not published"));
      return;
    }
    const kind = publishableKind(session.owner, packet.topic);
    if (kind === undefined) {
      this.#deny(session, "publish");
      done(new Error("denied"));
      return;
    }
    packet.retain = false;
    const finished = this.#receive(session, kind, Buffer.from(packet.payload), done);
    this.#receiving.add(finished);
    void finished.finally(() => this.#receiving.delete(finished));
  }

  /** Hook of the library: called for every filter of a subscription. */
  subscribe(
    client: Client,
    subscription: Subscription,
    done: (error: Error | null, subscription?: Subscription | null) => void,
  ): void {
    const session = this.#deps.sessionOf(client);
    if (session === undefined) return done(new Error("no session"));
    const { topic } = subscription;
    session.asked.add(topic);
    const isAllowed = isReadable(session.owner, topic);
    if (!isAllowed) this.#deny(session, "subscribe");
    if (session.asked.size > SUBSCRIPTIONS_MAX) {
      session.reason ??= "denied";
      return done(new Error("too many filters"));
    }
    if (!isAllowed) return done(null, null);
    session.granted.add(topic);
    subscription.qos = subscription.qos === 0 ? 0 : 1;
    return done(null, subscription);
  }

  /** Resolves when what is being stored now has been stored or refused. */
  async drained(): Promise<void> {
    await Promise.allSettled(this.#receiving);
  }

  /** Acknowledges a message when it is durable, not before; closes the session when it cannot be stored. */
  async #receive(session: Session, kind: string, payload: Uint8Array, done: Done): Promise<void> {
    const { metrics, uplink, log } = this.#deps;
    const labels = { direction: "up" };
    // Monotonic, and cheap enough for every packet.
    const startMs = performance.now();
    metrics.count("flotilla_hub_broker_messages_total", labels);
    metrics.count("flotilla_hub_broker_payload_bytes_total", labels, payload.length);
    let failure: Error | null = null;
    try {
      await uplink.receive(session.owner.nodeId, kind, payload);
      const seconds = (performance.now() - startMs) / 1000;
      metrics.observe("flotilla_hub_broker_store_seconds", seconds);
    } catch (error) {
      failure = new Error("not stored", { cause: error });
      session.reason ??= "not-stored";
      log.warn({ ...sessionFields(session), kind, error: messageOf(error) }, "message not stored");
    }
    done(failure);
  }

  #deny(session: Session, action: "publish" | "subscribe"): void {
    if (action === "publish") session.reason ??= "denied";
    this.#deps.metrics.count("flotilla_hub_broker_denied_total", { action });
    this.#deps.log.warn({ ...sessionFields(session), action }, "topic denied");
  }
}
