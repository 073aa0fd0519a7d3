import { request } from "node:http";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { RELOAD_TIMEOUT_MS, type ReloadPoster } from "../../app/artifact/ports.ts";

/** Longest message of an outcome, characters. */
const MESSAGE_LENGTH_MAX = 200;

/** POSTs to workloads on the node's workload address. No body is sent, and of the answer only the status is looked at. */
export class HttpReloadPoster implements ReloadPoster {
  readonly #host: string;

  constructor(options: { readonly host: string }) {
    this.#host = options.host;
  }

  async post(
    to: { readonly port: number; readonly path: string },
    signal: AbortSignal,
  ): Promise<{ readonly ok: boolean; readonly message: string }> {
    const timeout = AbortSignal.timeout(RELOAD_TIMEOUT_MS);
    try {
      const status = await statusOf(this.#host, to, AbortSignal.any([signal, timeout]));
      return { ok: status >= 200 && status <= 299, message: `status ${status}` };
    } catch (error) {
      const message = timeout.aborted
        ? `no answer within ${RELOAD_TIMEOUT_MS / 1000} s`
        : messageOf(error).slice(0, MESSAGE_LENGTH_MAX);
      return { ok: false, message };
    }
  }
}

function statusOf(
  host: string,
  { path, port }: { readonly port: number; readonly path: string },
  signal: AbortSignal,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { "user-agent": "flotilla-agent", "content-length": "0", connection: "close" };
    const asked = request({ host, port, path, method: "POST", headers, agent: false, signal });
    asked.once("error", reject);
    asked.once("response", (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    });
    asked.end();
  });
}
