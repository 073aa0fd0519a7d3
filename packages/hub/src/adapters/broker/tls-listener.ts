import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import {
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from "node:tls";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { NodeId } from "@flotilla/shared/kernel/ids";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import { systemCode } from "@flotilla/shared/platform/files";
import { nodeIdOf, normalSerial } from "../pki/node-identity.ts";
import type { BrokerLimits } from "./limits.ts";
import { TokenBucket } from "./token-bucket.ts";

/** The broker's own certificate and the CA whose node certificates it takes, PEM. */
export interface BrokerTls {
  readonly certificate: string;
  readonly privateKey: string;
  readonly caCertificate: string;
}

/** Who is at the other end, by the certificate that the TLS handshake proved. */
export interface Peer {
  readonly nodeId: NodeId;
  /** Lower-case hexadecimal without leading zeros. */
  readonly serial: string;
  readonly validToMs: number;
  readonly address: string;
}

interface Deps {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** A connection with a node's certificate. `opened` ends the connect time-out. */
  readonly onConnection: (socket: TLSSocket, peer: Peer, opened: () => void) => void;
}

/** Why a connection was closed before MQTT began; labels a metric. */
type AcceptRefusal = "rate" | "half-open" | "limit" | "timeout" | "tls" | "certificate";

/**
 * Listens for nodes: mutual TLS 1.2 or newer. What costs nothing comes first: connection limit, rate and half-open
 * limit are judged before the handshake, and one deadline spans all from the accept to the accepted CONNECT.
 */
export class TlsListener {
  readonly #options: {
    readonly host: string;
    readonly port: number;
    readonly limits: BrokerLimits;
  };
  readonly #deps: Deps;
  readonly #tcp: Server;
  readonly #tls: TlsServer;
  readonly #accepts: TokenBucket;
  readonly #sockets = new Set<Socket>();
  readonly #halfOpen = new Map<string, number>();
  /** Ends the half-open time of a connection, by `address:port` of its peer. */
  readonly #opening = new Map<string, () => void>();

  constructor(
    options: {
      readonly host: string;
      readonly port: number;
      readonly limits: BrokerLimits;
      readonly tls: BrokerTls;
    },
    deps: Deps,
  ) {
    this.#options = options;
    this.#deps = deps;
    const { limits } = options;
    this.#accepts = new TokenBucket({
      perSecond: limits.acceptPerSecond,
      burst: limits.acceptBurst,
      nowMs: deps.nowMs(),
    });
    this.#tls = createTlsServer({
      ...secureOptions(options.tls),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: limits.connectTimeoutMs,
    });
    this.#tls.on("secureConnection", (socket) => this.#secured(socket));
    this.#tls.on("tlsClientError", (error, socket) => {
      // Who connects and hangs up without a word measures how far the hub is, or looks whether it listens.
      const isSilent = socket.bytesRead === 0 && systemCode(error) === "ECONNRESET";
      if (!isSilent) this.#refuse("tls", socket.remoteAddress, messageOf(error));
      socket.destroy();
    });
    this.#tcp = createTcpServer({ noDelay: true, keepAlive: true }, (socket) =>
      this.#accepted(socket),
    );
    this.#tcp.maxConnections = limits.connectionsMax;
    this.#tcp.on("drop", (dropped) => this.#refuse("limit", dropped?.remoteAddress, "too many"));
  }

  /** Rejects when the port cannot be had. */
  listen(): Promise<{ readonly port: number }> {
    return new Promise((resolve, reject) => {
      this.#tcp.once("error", reject);
      this.#tcp.listen(this.#options.port, this.#options.host, () => {
        this.#tcp.removeListener("error", reject);
        this.#tcp.on("error", (error) =>
          this.#deps.log.error({ error: messageOf(error) }, "broker listener failed"),
        );
        const address = this.#tcp.address();
        resolve({ port: typeof address === "object" ? (address?.port ?? 0) : 0 });
      });
    });
  }

  /** Takes no more connections. */
  stopAccepting(): void {
    this.#tcp.close();
  }

  /** Resolves when no connection is open any more; `stopAccepting` comes first. */
  async allClosed(): Promise<void> {
    const closing = [...this.#sockets].map(
      (socket) => new Promise<void>((resolve) => socket.once("close", () => resolve())),
    );
    await Promise.all(closing);
  }

  /** Cuts what is still open. */
  closeAll(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#tls.close();
  }

  /** New connections get this certificate; sessions stay. */
  setTls(tls: BrokerTls): void {
    this.#tls.setSecureContext(secureOptions(tls));
  }

  #accepted(socket: Socket): void {
    const { limits } = this.#options;
    const address = socket.remoteAddress;
    socket.on("error", () => {});
    // Gone before it was looked at.
    if (address === undefined) socket.destroy();
    else if (!this.#accepts.tryTake(this.#deps.nowMs())) this.#cut(socket, "rate");
    else if ((this.#halfOpen.get(address) ?? 0) >= limits.halfOpenPerAddressMax)
      this.#cut(socket, "half-open");
    else {
      this.#track(socket, address);
      this.#tls.emit("connection", socket);
    }
  }

  #track(socket: Socket, address: string): void {
    const key = `${address}:${socket.remotePort}`;
    const timer = setTimeout(
      () => this.#cut(socket, "timeout"),
      this.#options.limits.connectTimeoutMs,
    );
    let isOpening = true;
    const opened = (): void => {
      clearTimeout(timer);
      if (!isOpening) return;
      isOpening = false;
      if (this.#opening.get(key) === opened) this.#opening.delete(key);
      const left = (this.#halfOpen.get(address) ?? 1) - 1;
      if (left > 0) this.#halfOpen.set(address, left);
      else this.#halfOpen.delete(address);
    };
    this.#sockets.add(socket);
    this.#halfOpen.set(address, (this.#halfOpen.get(address) ?? 0) + 1);
    this.#opening.set(key, opened);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      opened();
    });
  }

  #secured(socket: TLSSocket): void {
    socket.on("error", () => {});
    const address = socket.remoteAddress ?? "";
    const certificate = socket.getPeerX509Certificate();
    const nodeId = certificate === undefined ? undefined : nodeIdOf(certificate);
    if (certificate === undefined || nodeId === undefined) {
      this.#refuse("certificate", address, "no node is named");
      socket.destroy();
      return;
    }
    const peer = {
      nodeId,
      serial: normalSerial(certificate.serialNumber),
      validToMs: certificate.validToDate.getTime(),
      address,
    };
    const opened = this.#opening.get(`${address}:${socket.remotePort}`);
    this.#deps.onConnection(socket, peer, () => opened?.());
  }

  #cut(socket: Socket, reason: AcceptRefusal): void {
    this.#refuse(reason, socket.remoteAddress, reason);
    socket.destroy();
  }

  #refuse(reason: AcceptRefusal, address: string | undefined, detail: string): void {
    this.#deps.metrics.count("flotilla_hub_broker_accepts_refused_total", { reason });
    this.#deps.log.debug({ reason, address, detail }, "connection refused");
  }
}

function secureOptions(tls: BrokerTls): {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
  readonly minVersion: "TLSv1.2";
} {
  return {
    key: tls.privateKey,
    cert: tls.certificate,
    ca: tls.caCertificate,
    minVersion: "TLSv1.2",
  };
}
