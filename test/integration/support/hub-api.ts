import { readFileSync } from "node:fs";
import { Agent, type RequestOptions, request } from "node:https";
import { loadKubeconfig } from "@flotilla/cli/client/kubeconfig";
import { apiVersionOf, KINDS, type KindName, type ObjectOf } from "@flotilla/shared/model/kinds";

const REQUEST_TIMEOUT_MS = 20_000;

/** What the hub answered. */
export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** One line of a watch. */
export interface WatchLine {
  readonly type: string;
  readonly object: {
    readonly kind?: string;
    readonly code?: number;
    readonly metadata: { readonly name?: string; readonly resourceVersion: string };
  };
}

/** A request that the hub refused. */
export class RefusedError extends Error {
  readonly status: number;

  constructor(what: string, { status, text }: Answer) {
    super(`${what} answered ${status}: ${text.slice(0, 400)}`);
    this.status = status;
  }
}

/** The hub's API over real HTTPS, checked against its own CA. What resolves was acknowledged. */
export class HubApi {
  readonly #kubeconfig: string;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(options: { readonly kubeconfig: string }) {
    this.#kubeconfig = options.kubeconfig;
  }

  get kubeconfig(): string {
    return this.#kubeconfig;
  }

  async get<K extends KindName>(kind: K, name: string): Promise<ObjectOf<K>> {
    return JSON.parse(await this.#ok("GET", pathOf(kind, name)));
  }

  async list<K extends KindName>(
    kind: K,
  ): Promise<{ readonly revision: number; readonly items: readonly ObjectOf<K>[] }> {
    const list: { metadata: { resourceVersion: string }; items: ObjectOf<K>[] } = JSON.parse(
      await this.#ok("GET", pathOf(kind)),
    );
    return { revision: Number(list.metadata.resourceVersion), items: list.items };
  }

  async create<K extends KindName>(
    kind: K,
    name: string,
    fields: Readonly<Record<string, unknown>>,
  ): Promise<ObjectOf<K>> {
    const body = { apiVersion: apiVersionOf(KINDS[kind]), kind, metadata: { name }, ...fields };
    return JSON.parse(await this.#ok("POST", pathOf(kind), body));
  }

  async patch<K extends KindName>(
    kind: K,
    name: string,
    patch: Readonly<Record<string, unknown>>,
  ): Promise<ObjectOf<K>> {
    return JSON.parse(await this.#ok("PATCH", pathOf(kind, name), patch));
  }

  async remove(kind: KindName, name: string): Promise<string> {
    return this.#ok("DELETE", pathOf(kind, name));
  }

  /** Any request; a refusal is an answer, too. Rejects when there is none. */
  request(method: string, path: string, body?: unknown): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const req = request(this.#options(method, path, body), (res) => {
        let text = "";
        res.setEncoding("utf8");
        res.on("data", (chunk: string) => (text += chunk));
        res.on("end", () => resolve({ status: res.statusCode ?? 0, text }));
        res.on("error", reject);
      });
      req.on("timeout", () => req.destroy(new Error(`${method} ${path}: no answer`)));
      req.on("error", reject);
      req.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** Follows a kind from a version on. `ended` resolves when the hub ends it, rejects when it breaks off. */
  watch(
    kind: KindName,
    revision: number,
  ): { readonly lines: readonly WatchLine[]; readonly ended: Promise<void>; stop(): void } {
    const lines: WatchLine[] = [];
    const path = `${pathOf(kind)}?watch=1&allowWatchBookmarks=true&resourceVersion=${revision}`;
    const options = { ...this.#options("GET", path), timeout: 0, agent: false };
    const ended = Promise.withResolvers<void>();
    const req = request(options, (res) => {
      let rest = "";
      res.setEncoding("utf8");
      res.on("data", (chunk: string) => {
        const parts = `${rest}${chunk}`.split("\n");
        rest = parts.pop() ?? "";
        for (const line of parts) if (line !== "") lines.push(JSON.parse(line));
      });
      res.on("end", () => ended.resolve());
      res.on("error", (error) => ended.reject(error));
    });
    req.on("error", (error) => ended.reject(error));
    req.end();
    ended.promise.catch(() => undefined);
    return { lines, ended: ended.promise, stop: () => req.destroy() };
  }

  /** Sum over all series of a metric. */
  async metric(name: string): Promise<number> {
    const { text } = await this.request("GET", "/metrics");
    return text
      .split("\n")
      .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #ok(method: string, path: string, body?: unknown): Promise<string> {
    const answer = await this.request(method, path, body);
    if (answer.status >= 400) throw new RefusedError(`${method} ${path}`, answer);
    return answer.text;
  }

  /** Read anew each time: a restored hub may have made another token. */
  #options(method: string, path: string, body?: unknown): RequestOptions {
    const { server, ca, token = "" } = loadKubeconfig(this.#kubeconfig);
    const { hostname, port } = new URL(server);
    return {
      method,
      path,
      hostname,
      port,
      agent: this.#agent,
      timeout: REQUEST_TIMEOUT_MS,
      ...(ca === undefined ? {} : { ca }),
      headers: {
        authorization: `Bearer ${token}`,
        accept: path.endsWith("/metrics") ? "text/plain" : "application/json",
        ...(body === undefined
          ? {}
          : {
              "content-type":
                method === "PATCH" ? "application/merge-patch+json" : "application/json",
            }),
      },
    };
  }
}

/** Path of a kind or an object; namespaced ones are in `default`. */
export function pathOf(kind: KindName, name?: string): string {
  const info = KINDS[kind];
  const root = info.group === "" ? `/api/${info.version}` : `/apis/${info.group}/${info.version}`;
  const folder = info.namespaced
    ? `${root}/namespaces/default/${info.plural}`
    : `${root}/${info.plural}`;
  return name === undefined ? folder : `${folder}/${name}`;
}

/** Text of a file, or nothing when it is not there. */
export function textIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
