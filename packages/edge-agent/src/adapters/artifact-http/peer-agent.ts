import { X509Certificate } from "node:crypto";
import { Agent } from "node:https";
import type { Duplex } from "node:stream";
import { connect, type TLSSocket } from "node:tls";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { ByteSourceErrorCode, PeerAddress } from "../../app/delivery/ports.ts";

/** What a node shows and trusts. */
export interface PeerIdentity {
  readonly certificate: string;
  readonly privateKey: string;
  readonly caCertificate: string;
}

/** Connections kept to one peer. */
const SOCKETS_MAX = 4;
/** Until a connection is there: a peer is on the same LAN. */
const CONNECT_TIMEOUT_MS = 3_000;

/**
 * Connections to one node of the site. A node's certificate is for clients only, so that no node can pass for the hub; OpenSSL
 * refuses it for a server whoever has issued it. So it is judged here, before a byte is asked for: issued by the CA of enrolment,
 * valid now, and of this node. That the other side has its key the handshake has shown.
 */
export class PeerAgent extends Agent {
  readonly #peer: PeerAddress;
  readonly #identity: PeerIdentity;
  readonly #wallMs: () => number;

  constructor(
    options: { readonly peer: PeerAddress; readonly identity: PeerIdentity },
    deps: { readonly wallMs: () => number },
  ) {
    super({ keepAlive: true, maxSockets: SOCKETS_MAX, timeout: 60_000 });
    this.#peer = options.peer;
    this.#identity = options.identity;
    this.#wallMs = deps.wallMs;
  }

  override createConnection(
    _options: unknown,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const { host, port } = this.#peer;
    const { certificate, privateKey, caCertificate } = this.#identity;
    const socket = connect({
      host,
      port,
      cert: certificate,
      key: privateKey,
      ca: caCertificate,
      minVersion: "TLSv1.3",
      // oxlint-disable-next-line flotilla/verified-tls -- verified by `faultOf` before the socket is handed out
      rejectUnauthorized: false,
    });
    let isSettled = false;
    const settle = (error: Error | null): void => {
      if (isSettled) return;
      isSettled = true;
      socket.setTimeout(0);
      if (error !== null) socket.destroy();
      callback?.(error, socket);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => settle(new Error("no connection in time")));
    socket.on("error", settle);
    socket.once("close", () => settle(new Error("it closed the connection")));
    socket.once("secureConnect", () => settle(this.#faultOf(socket)));
    // The callback hands the socket out: one that is returned here would be used before it is judged.
    return undefined;
  }

  #faultOf(socket: TLSSocket): Error | null {
    const what = faultOf(socket.getPeerX509Certificate(), {
      caCertificate: this.#identity.caCertificate,
      node: this.#peer.node,
      nowMs: this.#wallMs(),
    });
    if (what === undefined) return null;
    return new CodedError<ByteSourceErrorCode>(
      "source-misbehaves",
      `peer ${this.#peer.node}: ${what}`,
      { fields: { node: this.#peer.node } },
    );
  }
}

/** Why a certificate is not this node's, issued by the CA and valid; undefined when it is. */
export function faultOf(
  certificate: X509Certificate | undefined,
  of: { readonly caCertificate: string; readonly node: string; readonly nowMs: number },
): string | undefined {
  if (certificate === undefined) return "it shows no certificate";
  const ca = new X509Certificate(of.caCertificate);
  if (!certificate.checkIssued(ca) || !certificate.verify(ca.publicKey))
    return "its certificate is not of this fleet's CA";
  if (certificate.ca) return "it shows the certificate of a CA";
  if (certificate.subject !== `CN=${of.node}`) return "its certificate is another node's";
  if (of.nowMs < certificate.validFromDate.getTime()) return "its certificate is not valid yet";
  if (of.nowMs > certificate.validToDate.getTime()) return "its certificate has expired";
  return undefined;
}
