import type { Server, Socket } from "node:net";
import { HANDSHAKE_TIMEOUT_MS, PLAIN_REQUEST_BYTES_MAX } from "./limits.ts";

/**
 * One port for TLS and for the one plain request that is allowed: `GET /ca.pem`. An agent checks the certificate's SHA-256
 * against its join string before it sends anything, so fetching it in the clear gives nothing away and trusts nothing.
 */
/** First byte of a TLS record that carries a handshake (RFC 8446 §5.1). */
const TLS_HANDSHAKE = 0x16;

/** Puts the sniffer before the server's own handling of connections. Returns what cuts every open connection. */
export function sniffConnections(
  server: Server,
  options: { readonly caCertificate: string; readonly headersTimeoutMs?: number },
): { readonly destroyAll: () => void } {
  const onTls = server.listeners("connection");
  const sockets = new Set<Socket>();
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    firstByte(socket, (byte) => {
      if (byte !== TLS_HANDSHAKE) answerPlain(socket, options);
      else for (const listener of onTls) listener.call(server, socket);
    });
  });
  return {
    destroyAll: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Calls back with the first byte and leaves it unread; closes a connection that stays silent. */
function firstByte(socket: Socket, then: (byte: number | undefined) => void): void {
  const silent = (): void => {
    socket.destroy();
  };
  socket.setTimeout(HANDSHAKE_TIMEOUT_MS, silent);
  const onReadable = (): void => {
    const chunk: unknown = socket.read();
    if (!(chunk instanceof Buffer)) return;
    socket.off("readable", onReadable);
    socket.setTimeout(0);
    socket.off("timeout", silent);
    socket.unshift(chunk);
    then(chunk[0]);
  };
  socket.on("readable", onReadable);
}

/**
 * Reads one request and answers it; anything but GET /ca.pem is told that TLS is spoken here. One deadline for all of it: a
 * peer that sends, or takes, a byte now and then would hold its connection for hours.
 */
function answerPlain(
  socket: Socket,
  { caCertificate, headersTimeoutMs }: Parameters<typeof sniffConnections>[1],
): void {
  let received = "";
  socket.setEncoding("latin1");
  const deadline = setTimeout(() => socket.destroy(), headersTimeoutMs ?? HANDSHAKE_TIMEOUT_MS);
  socket.once("close", () => clearTimeout(deadline));
  const onData = (chunk: string): void => {
    received += chunk;
    const whole = received.includes("\r\n\r\n");
    if (!whole && received.length <= PLAIN_REQUEST_BYTES_MAX) return;
    socket.off("data", onData);
    const wanted = whole && /^GET \/ca\.pem(?:\?\S*)? HTTP\/1\.[01]\r\n/.test(received);
    socket.end(
      wanted
        ? plainAnswer("200 OK", "application/x-pem-file", caCertificate)
        : plainAnswer("400 Bad Request", "text/plain; charset=utf-8", "this port speaks HTTPS\n"),
    );
    // What is still coming is not read; the socket must not linger half-open.
    socket.once("finish", () => socket.destroySoon());
  };
  socket.on("data", onData);
}

function plainAnswer(status: string, contentType: string, body: string): string {
  return [
    `HTTP/1.1 ${status}`,
    `Content-Type: ${contentType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Cache-Control: no-store",
    "Connection: close",
    "",
    body,
  ].join("\r\n");
}
