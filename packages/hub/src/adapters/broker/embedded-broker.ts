import type { TLSSocket } from "node:tls";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { NodeId } from "@flotilla/shared/kernel/ids";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import type { HubState } from "@flotilla/shared/protocol/hub-state";
import { HUB_STATE_TOPIC } from "@flotilla/shared/protocol/topics";
import { Aedes, type AuthenticateError, type Client, type ConnectPacket } from "aedes";
import type { NodeAdmission, NodeLink, UplinkHandler } from "../../app/link/ports.ts";
import { type ConnectRefusal, isReadable, judgeConnect, REFUSAL_CODE } from "./access.ts";
import { sendDown } from "./downlink.ts";
import { GuardedConnection } from "./guarded-connection.ts";
import { BROKER_LIMITS, type BrokerLimits, LINGER_MS, TOPIC_LEVELS_MAX } from "./limits.ts";
import { type CloseReason, reasonOf, type Session, sessionFields } from "./session.ts";
import { TakeoverWatch } from "./takeover-watch.ts";
import { type BrokerTls, type Peer, TlsListener } from "./tls-listener.ts";
import { TopicAccess } from "./topic-access.ts";

/** How long the hub's farewell may take to reach those who read slowly. */
const FAREWELL_MS = 1_000;
/** Deliveries at once inside the library; down messages do not go through it, only the hub's state does. */
const DELIVERIES_MAX = 1_000;

export interface BrokerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly tls: BrokerTls;
  readonly shard: string;
  /** Grows with every start of the hub, durably. */
  readonly term: number;
  readonly limits?: Partial<BrokerLimits>;
}

/** Two devices seem to use one certificate. */
export interface BrokerIncident {
  readonly kind: "duplicate-session";
  readonly nodeId: NodeId;
  readonly addresses: readonly string[];
}

export interface BrokerDeps {
  readonly uplink: UplinkHandler;
  readonly admission: NodeAdmission;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Called when a certificate is put in quarantine; becomes a Warning on the node. Must not throw. */
  readonly onIncident?: (incident: BrokerIncident) => void;
}

/** The hub's broker, as wiring sees it. */
export interface Broker {
  /** Rejects with the system's error when the port cannot be had. */
  listen(): Promise<{ readonly port: number }>;
  /** Says farewell, waits for what is being stored, closes all. Resolves in bounded time, never rejects. */
  close(): Promise<void>;
  readonly link: NodeLink;
  /** New connections get this certificate; live sessions stay. */
  setTls(tls: BrokerTls): void;
}

/** Makes the embedded MQTT broker: aedes behind mutual TLS and a guard. */
export function createBroker(options: BrokerOptions, deps: BrokerDeps): Broker {
  return new EmbeddedBroker(options, deps);
}

class EmbeddedBroker implements Broker {
  readonly link: NodeLink;
  readonly #options: BrokerOptions;
  readonly #limits: BrokerLimits;
  readonly #deps: BrokerDeps;
  readonly #aedes: Aedes;
  readonly #listener: TlsListener;
  readonly #takeovers: TakeoverWatch;
  readonly #byClient = new WeakMap<Client, Session>();
  /** The newest admitted session of each node. */
  readonly #sessions = new Map<NodeId, Session>();
  readonly #stopped = new AbortController();
  readonly #topics: TopicAccess;
  #liveCount = 0;

  constructor(options: BrokerOptions, deps: BrokerDeps) {
    this.#options = options;
    this.#deps = deps;
    const limits = { ...BROKER_LIMITS, ...options.limits };
    this.#limits = limits;
    this.#takeovers = new TakeoverWatch(limits);
    this.#topics = new TopicAccess({ ...deps, sessionOf: (client) => this.#byClient.get(client) });
    this.#aedes = this.#makeAedes();
    this.#listener = new TlsListener(
      { host: options.host, port: options.port, limits, tls: options.tls },
      {
        log: deps.log,
        metrics: deps.metrics,
        nowMs,
        onConnection: (socket, peer, opened) => this.#connected(socket, peer, opened),
      },
    );
    this.link = {
      send: async (nodeId, message) => this.#send(nodeId, message),
      isConnected: (nodeId) => this.#live(nodeId) !== undefined,
      disconnect: (nodeId, reason) => this.#disconnect(nodeId, reason),
    };
  }

  async listen(): Promise<{ readonly port: number }> {
    await this.#aedes.listen();
    await this.#publishState(true);
    const address = await this.#listener.listen().catch(async (error: unknown) => {
      await this.#closeLibrary();
      throw error;
    });
    void this.#recheckAdmission();
    this.#deps.log.info({ port: address.port, term: this.#options.term }, "broker listens");
    return address;
  }

  async close(): Promise<void> {
    if (this.#stopped.signal.aborted || this.#aedes.closed) return;
    this.#stopped.abort();
    this.#listener.stopAccepting();
    await Promise.race([this.#publishState(false), wait(FAREWELL_MS)]);
    await Promise.race([this.#topics.drained(), wait(this.#limits.stopDrainMs)]);
    for (const session of this.#sessions.values()) this.#end(session, "stopping");
    await Promise.race([this.#listener.allClosed(), wait(LINGER_MS)]);
    await this.#closeLibrary();
    this.#listener.closeAll();
    this.#deps.log.info({}, "broker stopped");
  }

  setTls(tls: BrokerTls): void {
    this.#listener.setTls(tls);
  }

  #closeLibrary(): Promise<void> {
    return new Promise((resolve) => {
      this.#aedes.close(() => resolve());
    });
  }

  #makeAedes(): Aedes {
    const limits = this.#limits;
    const aedes = new Aedes({
      concurrency: DELIVERIES_MAX,
      connectTimeout: limits.connectTimeoutMs,
      drainTimeout: limits.drainTimeoutMs,
      keepaliveLimit: limits.keepaliveSecondsMax,
      maxTopicLevels: TOPIC_LEVELS_MAX,
      preConnect: (client, packet, done) => this.#preConnect(client, packet, done),
      authenticate: (client, _name, _password, done) => this.#authenticate(client, done),
      authorizePublish: (client, packet, done) => this.#topics.publish(client, packet, done),
      authorizeSubscribe: (client, sub, done) => this.#topics.subscribe(client, sub, done),
      authorizeForward: (client, packet) => {
        const session = this.#byClient.get(client);
        return session !== undefined && isReadable(session.owner, packet.topic) ? packet : null;
      },
    });
    aedes.on("clientReady", (client) => this.#ready(client));
    aedes.on("clientError", (client, error) => this.#failed(client, error));
    aedes.on("connectionError", (client, error) => this.#failed(client, error));
    aedes.addListener("error", (error: unknown) =>
      this.#deps.log.error({ error: messageOf(error) }, "broker library failed"),
    );
    return aedes;
  }

  #connected(socket: TLSSocket, peer: Peer, opened: () => void): void {
    const onThrottled = (): void => this.#deps.metrics.count("flotilla_hub_broker_throttled_total");
    const guard = new GuardedConnection(this.#limits, { socket, nowMs, onThrottled });
    const client = this.#aedes.handle(guard);
    const session: Session = {
      owner: { shard: this.#options.shard, nodeId: peer.nodeId },
      peer,
      guard,
      client,
      opened,
      asked: new Set(),
      granted: new Set(),
      phase: "opening",
      refusal: undefined,
      dropWill: false,
      reason: undefined,
    };
    this.#byClient.set(client, session);
    guard.once("close", () => this.#end(session, session.reason ?? "peer"));
  }

  #preConnect(
    client: Client,
    packet: ConnectPacket,
    done: (error: Error | null, success: boolean) => void,
  ): void {
    const session = this.#byClient.get(client);
    if (session === undefined) {
      done(new Error("no session"), false);
      return;
    }
    session.refusal = this.#judge(session, packet);
    done(null, true);
  }

  #judge(session: Session, packet: ConnectPacket): ConnectRefusal | undefined {
    const { owner, peer } = session;
    if (this.#stopped.signal.aborted) return "stopping";
    const refusal = judgeConnect(owner, {
      clientId: packet.clientId,
      clean: packet.clean === true,
      willTopic: packet.will?.topic,
      willQos: packet.will?.qos ?? 0,
    });
    if (refusal !== undefined) return refusal;
    // A resumed TLS session is not checked for its certificate's end.
    if (this.#deps.clock.wallMs() > peer.validToMs) return "expired";
    if (!this.#deps.admission.admits(owner.nodeId, peer.serial)) return "not-admitted";
    return this.#takeovers.isQuarantined(owner.nodeId, nowMs()) ? "quarantined" : undefined;
  }

  #authenticate(
    client: Client,
    done: (error: AuthenticateError | null, success: boolean | null) => void,
  ): void {
    const session = this.#byClient.get(client);
    const before = session === undefined ? undefined : this.#sessions.get(session.owner.nodeId);
    if (session === undefined) return done(refusalError("not-admitted"), null);
    if (session.refusal === undefined && before !== undefined) this.#takeOver(session, before);
    const { refusal } = session;
    this.#deps.metrics.count("flotilla_hub_broker_connects_total", {
      outcome: refusal ?? "accepted",
    });
    if (refusal !== undefined) {
      this.#deps.log.info({ ...sessionFields(session), refusal }, "connect refused");
      session.reason = "refused";
      return done(refusalError(refusal), null);
    }
    this.#sessions.set(session.owner.nodeId, session);
    // The library forgets the older client first, else it would forget the newer one in its stead.
    if (before === undefined) done(null, true);
    else before.client.close(() => setImmediate(() => done(null, true)));
  }

  /** The newest session wins, unless the two keep pushing each other out: then neither is served for a while. */
  #takeOver(session: Session, before: Session): void {
    const { nodeId } = session.owner;
    this.#deps.metrics.count("flotilla_hub_broker_takeovers_total");
    if (!this.#takeovers.count(nodeId, nowMs())) {
      this.#end(before, "superseded");
      return;
    }
    session.refusal = "quarantined";
    const addresses = [...new Set([before.peer.address, session.peer.address])];
    this.#deps.log.warn({ nodeId, addresses }, "two devices seem to use one certificate");
    this.#deps.onIncident?.({ kind: "duplicate-session", nodeId, addresses });
    this.#end(before, "quarantined");
  }

  #ready(client: Client): void {
    const session = this.#byClient.get(client);
    if (session === undefined || session.phase !== "opening") return;
    session.phase = "live";
    session.opened();
    session.guard.accept();
    this.#deps.metrics.set("flotilla_hub_broker_sessions", ++this.#liveCount);
    this.#deps.log.info(sessionFields(session), "node connected");
    this.#deps.uplink.sessionChanged(session.owner.nodeId, true);
  }

  #failed(client: Client, error: Error): void {
    const session = this.#byClient.get(client);
    if (session !== undefined) session.reason ??= reasonOf(error);
  }

  /** Ends a session, once. What the hub ends by its own decision leaves no will. */
  #end(session: Session, reason: CloseReason): void {
    const { phase, owner, guard } = session;
    if (phase === "ended") return;
    session.phase = "ended";
    session.reason ??= reason;
    session.opened();
    const isNewest = this.#sessions.get(owner.nodeId) === session;
    if (isNewest) this.#sessions.delete(owner.nodeId);
    if (!guard.destroyed) {
      session.dropWill = true;
      // A stopping hub lets the last acknowledgements out. Else it cuts: who was revoked is gone, whether it reads or not.
      if (reason === "stopping") setImmediate(() => guard.end());
      else guard.destroy(new Error(reason));
    }
    this.#deps.metrics.count("flotilla_hub_broker_closed_total", { reason: session.reason });
    if (phase !== "live") return;
    this.#deps.metrics.set("flotilla_hub_broker_sessions", --this.#liveCount);
    this.#deps.log.info({ ...sessionFields(session), reason: session.reason }, "node disconnected");
    this.#deps.uplink.sessionChanged(owner.nodeId, false);
  }

  #send(nodeId: NodeId, message: DownMessage): boolean {
    const session = this.#live(nodeId);
    if (session === undefined) return false;
    const { log, metrics } = this.#deps;
    const outcome = sendDown(session, message, { limits: this.#limits, log, metrics });
    if (outcome === "frozen") this.#end(session, "frozen");
    return outcome === "sent";
  }

  #disconnect(nodeId: NodeId, reason: string): void {
    const session = this.#sessions.get(nodeId);
    if (session === undefined) return;
    this.#deps.log.info({ ...sessionFields(session), why: reason }, "node is disconnected");
    this.#end(session, "disconnected");
  }

  /** A revocation is acted upon when it is committed; this catches what was missed, and certificates that end. */
  async #recheckAdmission(): Promise<void> {
    const { clock, admission } = this.#deps;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await clock.sleep(this.#limits.admissionRecheckMs, signal).catch(() => {});
      if (signal.aborted) return;
      for (const { owner, peer } of this.#sessions.values())
        if (clock.wallMs() > peer.validToMs) this.#disconnect(owner.nodeId, "certificate expired");
        else if (!admission.admits(owner.nodeId, peer.serial))
          this.#disconnect(owner.nodeId, "no longer admitted");
      this.#takeovers.sweep(nowMs());
    }
  }

  #publishState(online: boolean): Promise<void> {
    const state: HubState = {
      term: this.#options.term,
      online,
      sentAt: this.#deps.clock.wallMs(),
    };
    const payload = Buffer.from(JSON.stringify(state));
    return new Promise((resolve) => {
      this.#aedes.publish(
        { cmd: "publish", topic: HUB_STATE_TOPIC, payload, qos: 1, retain: true, dup: false },
        () => resolve(),
      );
    });
  }

  #live(nodeId: NodeId): Session | undefined {
    const session = this.#sessions.get(nodeId);
    return session?.phase === "live" ? session : undefined;
  }
}

function refusalError(refusal: ConnectRefusal): AuthenticateError {
  return Object.assign(new Error(refusal), { returnCode: REFUSAL_CODE[refusal] });
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

/** Monotonic, and cheap enough for every packet. */
function nowMs(): number {
  return performance.now();
}
