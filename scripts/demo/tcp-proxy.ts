import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/**
 * A link that can be cut. While cut, bytes in both directions stop without FIN or RST, as when a vehicle drives into a
 * tunnel; new connections are taken and stay silent.
 */
export class TcpProxy {
  readonly #target: { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** What was cut is dead; the next connection works. */
  heal(): void {
    this.#isCut = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #accept(socket: Socket): void {
    this.#track(socket);
    if (this.#isCut) {
      socket.pause();
      return;
    }
    const upstream = connect(this.#target);
    this.#track(upstream);
    socket.on("data", (data) => upstream.write(data));
    upstream.on("data", (data) => socket.write(data));
    socket.on("close", () => upstream.destroy());
    upstream.on("close", () => socket.destroy());
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
