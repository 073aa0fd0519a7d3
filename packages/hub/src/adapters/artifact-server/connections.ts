import type { Server } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { NodeId } from "@flotilla/shared/kernel/ids";
import { HALF_OPEN_PER_ADDRESS_MAX } from "./limits.ts";
import type { ConnectionRefusal } from "./messages.ts";

interface Deps {
  /** The node that the certificate names; undefined when there is none, and the connection is closed. */
  readonly met: (socket: TLSSocket) => NodeId | undefined;
  readonly refused: (reason: ConnectionRefusal) => void;
}

/** Counts connections: in all by the server itself, before the handshake by address, after it by node. */
export class Connections {
  readonly #options: { readonly nodeMax: number };
  readonly #deps: Deps;
  readonly #halfOpen = new Map<string, number>();
  readonly #opening = new Map<string, () => void>();
  readonly #byNode = new Map<NodeId, Set<TLSSocket>>();
  readonly #all = new Set<Socket>();

  constructor(options: { readonly nodeMax: number }, deps: Deps) {
    this.#options = options;
    this.#deps = deps;
  }

  get count(): number {
    return this.#all.size;
  }

  /** Of a server whose clients have certificates, or of one whose have none. */
  watch(server: Server, whose: "nodes" | "administrators"): void {
    server.prependListener("connection", (socket: Socket) => this.#accepted(socket));
    server.prependListener("secureConnection", (socket) => {
      this.#opening.get(keyOf(socket))?.();
      if (whose === "nodes") this.#admit(socket);
    });
    server.on("tlsClientError", (_error, socket) => {
      // Who connects and hangs up without a word looks whether it listens.
      if (socket.bytesRead > 0) this.#deps.refused("tls");
      socket.destroy();
    });
    server.on("drop", () => this.#deps.refused("limit"));
  }

  /** Cuts what this node has open. */
  cut(nodeId: NodeId): void {
    for (const socket of this.#byNode.get(nodeId) ?? []) socket.destroy();
  }

  cutAll(): void {
    for (const socket of this.#all) socket.destroy();
  }

  #accepted(socket: Socket): void {
    const address = socket.remoteAddress ?? "";
    const key = keyOf(socket);
    const halfOpen = this.#halfOpen.get(address) ?? 0;
    socket.on("error", () => socket.destroy());
    this.#all.add(socket);
    socket.once("close", () => {
      this.#all.delete(socket);
      this.#opening.get(key)?.();
    });
    if (halfOpen >= HALF_OPEN_PER_ADDRESS_MAX) {
      this.#deps.refused("half-open");
      socket.destroy();
      return;
    }
    this.#halfOpen.set(address, halfOpen + 1);
    this.#opening.set(key, () => {
      this.#opening.delete(key);
      const left = (this.#halfOpen.get(address) ?? 1) - 1;
      if (left > 0) this.#halfOpen.set(address, left);
      else this.#halfOpen.delete(address);
    });
  }

  #admit(socket: TLSSocket): void {
    const nodeId = this.#deps.met(socket);
    if (nodeId === undefined) {
      this.#deps.refused("certificate");
      socket.destroy();
      return;
    }
    const open = this.#byNode.get(nodeId) ?? new Set<TLSSocket>();
    if (open.size >= this.#options.nodeMax) {
      this.#deps.refused("node-limit");
      socket.destroy();
      return;
    }
    this.#byNode.set(nodeId, open.add(socket));
    socket.once("close", () => {
      open.delete(socket);
      if (open.size === 0) this.#byNode.delete(nodeId);
    });
  }
}

function keyOf(socket: Socket): string {
  return `${socket.localPort} ${socket.remoteAddress ?? ""}:${socket.remotePort}`;
}
