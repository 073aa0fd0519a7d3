import { createServer as createHttp, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttps } from "node:https";
import { createServer as createTcp, type Socket } from "node:net";
import type { KeyAndCertificate } from "./pki.ts";
import { portOf } from "./tcp-proxy.ts";

/** A hub's API port as an agent that enrols sees it: plain HTTP for the CA, HTTPS for the rest. */
export interface EnrolmentHub {
  readonly port: number;
  /** Everything that came in the clear. */
  readonly received: () => string;
  /** Bodies of the requests over HTTPS, with their paths. */
  readonly requests: { readonly path: string; readonly body: unknown }[];
  close(): Promise<void>;
}

export type Answerer = (
  path: string,
  body: Readonly<Record<string, string>>,
) => Promise<{ readonly status: number; readonly body: unknown }>;

export async function startEnrolmentHub(options: {
  readonly tls: KeyAndCertificate;
  /** Text that GET /ca.pem gives. */
  readonly ca: string;
  readonly answer: Answerer;
}): Promise<EnrolmentHub> {
  const requests: { path: string; body: unknown }[] = [];
  let raw = "";
  const plain = createHttp((request, response) => {
    response.writeHead(request.url === "/ca.pem" ? 200 : 404).end(options.ca);
  });
  const secure = createHttps(
    { key: options.tls.privateKey, cert: options.tls.certificate },
    (request, response) => {
      void handle(request, response, options.answer, requests);
    },
  );
  secure.on("tlsClientError", () => undefined);
  const sockets = new Set<Socket>();
  const server = createTcp((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.once("readable", () => {
      const chunk: unknown = socket.read();
      if (!(chunk instanceof Buffer)) return;
      socket.unshift(chunk);
      const isTls = chunk[0] === 0x16;
      if (!isTls)
        socket.on("data", (data: Buffer) => {
          raw += data.toString("latin1");
        });
      (isTls ? secure : plain).emit("connection", socket);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: portOf(server.address()),
    received: () => raw,
    requests,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answerer,
  requests: { path: string; body: unknown }[],
): Promise<void> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  const path = request.url ?? "";
  const body: Record<string, string> = JSON.parse(text);
  requests.push({ path, body });
  const { status, body: answered } = await answer(path, body);
  response.writeHead(status, { "content-type": "application/json" });
  response.end(typeof answered === "string" ? answered : JSON.stringify(answered));
}
