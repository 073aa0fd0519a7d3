import { type AddressInfo, connect as connectTcp, createServer, type Socket } from "node:net";

/** A TCP proxy that can stop forwarding without a word: no FIN, no RST, as a link that is cut. */
export interface TcpProxy {
  readonly port: number;
  freeze(): void;
  close(): Promise<void>;
}

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let isFrozen = false;
  const forward = (from: Socket, to: Socket): void => {
    sockets.add(from);
    from.on("error", () => from.destroy());
    from.on("data", (chunk) => {
      if (!isFrozen) to.write(chunk);
    });
    from.on("close", () => {
      sockets.delete(from);
      if (!isFrozen) to.destroy();
    });
  };
  const server = createServer((client) => {
    const upstream = connectTcp(targetPort, "127.0.0.1");
    forward(client, upstream);
    forward(upstream, client);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: portOf(server.address()),
    freeze: () => {
      isFrozen = true;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** Port of a server that listens on TCP. */
export function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return address.port;
}
