import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import type { NodeId } from "@flotilla/shared/kernel/ids";
import { bearerToken, tokenAuthenticator } from "../http/bearer-tokens.ts";
import { nodeIdOf, normalSerial } from "../pki/node-identity.ts";

/** Who asks; nobody has neither token nor certificate, or one that is not good. */
export type Guest =
  | { readonly kind: "node"; readonly nodeId: NodeId }
  | { readonly kind: "administrator" }
  | { readonly kind: "nobody"; readonly reason: string };

/** What the certificate of a connection says. */
interface Certified {
  readonly nodeId: NodeId;
  readonly serial: string;
  readonly validToMs: number;
}

interface Deps {
  /** The hub's word: is this certificate good for this node? */
  readonly admits: (nodeId: string, serial: string) => Promise<boolean>;
  /** Monotonic milliseconds, and the wall clock's. */
  readonly nowMs: () => number;
  readonly wallMs: () => number;
}

/** Tells who is at the other end of a request. A node's certificate is judged by the hub, as the broker has it judged. */
export class Guests {
  readonly #isAdministrator: (token: string) => boolean;
  readonly #admissionMs: number;
  readonly #deps: Deps;
  readonly #certified = new WeakMap<TLSSocket, Certified>();
  /** By node and serial: the hub's last word, or the question that is under way. */
  readonly #words = new Map<
    string,
    { readonly untilMs: number; readonly isAdmitted: Promise<boolean> }
  >();

  constructor(
    options: { readonly tokenHashes: readonly string[]; readonly admissionMs: number },
    deps: Deps,
  ) {
    const user = { name: "admin", groups: [] };
    const userOf = tokenAuthenticator(options.tokenHashes.map((sha256) => ({ sha256, user })));
    this.#isAdministrator = (token) => userOf(token) !== undefined;
    this.#admissionMs = options.admissionMs;
    this.#deps = deps;
  }

  /** Called once for each connection; the node that its certificate names. */
  met(socket: TLSSocket): NodeId | undefined {
    const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
    const nodeId = certificate === undefined ? undefined : nodeIdOf(certificate);
    if (certificate === undefined || nodeId === undefined) return undefined;
    this.#certified.set(socket, {
      nodeId,
      serial: normalSerial(certificate.serialNumber),
      validToMs: certificate.validToDate.getTime(),
    });
    return nodeId;
  }

  /** Who asks on a connection that has no certificate: by its token. */
  administrator({ headers }: IncomingMessage): Guest {
    const token = bearerToken(headers.authorization);
    if (token !== undefined && this.#isAdministrator(token)) return { kind: "administrator" };
    return { kind: "nobody", reason: "an administrator's bearer token is needed here" };
  }

  /** Who asks on a connection that has been met. */
  async node({ socket }: IncomingMessage): Promise<Guest> {
    const certified = this.#certified.get(socket as TLSSocket);
    if (certified === undefined)
      return { kind: "nobody", reason: "a node's certificate is needed here" };
    // TLS does not look at it again when a session is resumed, and a connection may outlive it.
    if (certified.validToMs < this.#deps.wallMs())
      return { kind: "nobody", reason: "the certificate has expired" };
    if (!(await this.#isAdmitted(certified)))
      return { kind: "nobody", reason: "the certificate is not good any more" };
    return { kind: "node", nodeId: certified.nodeId };
  }

  /** The hub is asked again about this node. */
  forget(nodeId: string): void {
    for (const key of this.#words.keys()) if (key.startsWith(`${nodeId} `)) this.#words.delete(key);
  }

  #isAdmitted({ nodeId, serial }: Certified): Promise<boolean> {
    const key = `${nodeId} ${serial}`;
    const nowMs = this.#deps.nowMs();
    const known = this.#words.get(key);
    if (known !== undefined && known.untilMs > nowMs) return known.isAdmitted;
    this.#prune(nowMs);
    const isAdmitted = this.#deps.admits(nodeId, serial);
    this.#words.delete(key);
    this.#words.set(key, { untilMs: nowMs + this.#admissionMs, isAdmitted });
    // Who is refused may be taken back at any moment; a question that failed is no word.
    isAdmitted.then(
      (isGood) => isGood || this.#words.delete(key),
      () => this.#words.delete(key),
    );
    return isAdmitted;
  }

  #prune(nowMs: number): void {
    for (const [key, { untilMs }] of this.#words) {
      if (untilMs > nowMs) return;
      this.#words.delete(key);
    }
  }
}
