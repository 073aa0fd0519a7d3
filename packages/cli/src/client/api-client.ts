import { Agent, request } from "node:https";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { CliError, type CliErrorCode } from "../domain/errors.ts";
import type { NamedKind } from "../domain/kinds.ts";
import { textOf } from "../domain/text.ts";
import type { HubAccess } from "./kubeconfig.ts";

/** Longest silence of the hub while it answers; a watch may be silent once it has begun. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Largest answer that is read whole. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

/** A JSON object as the hub answers it. */
export type ApiObject = { readonly [field: string]: unknown };

interface Call {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
}

/** Kubernetes media type of a Table answer. */
export const TABLE_ACCEPT = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/** Calls the hub's API. Every failure becomes a CliError with an exit status and, where one is known, the mend. */
export class ApiClient {
  readonly #access: HubAccess;
  readonly #agent: Agent;

  constructor(access: HubAccess) {
    this.#access = access;
    this.#agent = new Agent({
      keepAlive: true,
      ...(access.ca === undefined ? {} : { ca: access.ca }),
    });
  }

  get server(): string {
    return this.#access.server;
  }

  /** For the hub's other ports, which take the same token. Never to be printed. */
  get access(): HubAccess {
    return this.#access;
  }

  /** JSON answer. */
  async json(call: Call): Promise<ApiObject> {
    const text = await this.text(call);
    try {
      return JSON.parse(text);
    } catch {
      throw new CliError("failed", `${call.method} ${call.path}: the answer is no JSON`, {
        fields: { why: text.slice(0, 200) },
      });
    }
  }

  /** Text answer. */
  async text(call: Call): Promise<string> {
    let text = "";
    await this.stream(call, (chunk) => {
      text += chunk;
      if (text.length > ANSWER_BYTES_MAX)
        throw new CliError("failed", `the answer is larger than ${ANSWER_BYTES_MAX} bytes`, {
          mend: "ask for less: -n NAMESPACE, -l SELECTOR",
        });
    });
    return text;
  }

  /**
   * Hands on the answer's text as it comes. With `until` it is a watch: the hub may be silent as long as it likes, and the
   * promise resolves when the hub ends it or `until` is aborted.
   */
  stream(call: Call, onText: (text: string) => void, until?: AbortSignal): Promise<void> {
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    return new Promise((resolve, reject) => {
      const req = request(
        `${this.#access.server}${call.path}`,
        {
          method: call.method,
          agent: this.#agent,
          timeout: REQUEST_TIMEOUT_MS,
          headers: {
            accept: call.accept ?? "application/json",
            ...(this.#access.token === undefined
              ? {}
              : { authorization: `Bearer ${this.#access.token}` }),
            ...(body === undefined
              ? {}
              : {
                  "content-type": call.contentType ?? "application/json",
                  "content-length": Buffer.byteLength(body),
                }),
          },
        },
        (res) => {
          if (until !== undefined) req.setTimeout(0);
          res.setEncoding("utf8");
          const failed = (res.statusCode ?? 500) >= 400;
          let failure = "";
          res.on("data", (chunk: string) => {
            if (failed) failure += chunk;
            else
              attempt(
                () => onText(chunk),
                (error) => req.destroy(error),
              );
          });
          res.on("end", () =>
            failed ? reject(errorOfStatus(res.statusCode ?? 500, failure)) : resolve(),
          );
          res.on("error", (error) => (until?.aborted === true ? resolve() : reject(error)));
        },
      );
      until?.addEventListener("abort", () => {
        req.destroy();
        resolve();
      });
      req.on("timeout", () =>
        req.destroy(
          new CliError(
            "timeout",
            `${this.#access.server} did not answer in ${REQUEST_TIMEOUT_MS / 1000} s`,
          ),
        ),
      );
      req.on("error", (error) =>
        reject(error instanceof CliError ? error : unreachable(this.#access.server, error)),
      );
      req.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

function attempt(work: () => void, onError: (error: Error) => void): void {
  try {
    work();
  } catch (error) {
    onError(error instanceof Error ? error : new Error(String(error)));
  }
}

function unreachable(server: string, error: unknown): CliError {
  return new CliError("unreachable", `the hub at ${server} cannot be reached`, {
    fields: { why: messageOf(error) },
    mend: "is it running there, and is this the right context? flotilla config get-contexts",
    cause: error,
  });
}

/** Kubernetes Status → error. Anything else that is no success keeps its text. */
export function errorOfStatus(statusCode: number, text: string): CliError {
  const status = statusFields(text);
  const code = EXIT_CODES[statusCode] ?? "failed";
  const mend = status.mend ?? MENDS[code];
  const why = status.causes.join("; ") || (status.code ?? "");
  return new CliError(code, status.message, {
    fields: { statusCode, reason: status.reason, ...(why === "" ? {} : { why }) },
    ...(mend === undefined ? {} : { mend }),
  });
}

const EXIT_CODES: Readonly<Record<number, CliErrorCode>> = {
  400: "invalid",
  401: "unauthorized",
  403: "unauthorized",
  404: "not-found",
  408: "timeout",
  409: "conflict",
  422: "invalid",
  504: "timeout",
};

const MENDS: Partial<Record<CliErrorCode, string>> = {
  unauthorized:
    "the context's kubeconfig holds no valid token for this hub; take the one in its data directory",
  conflict:
    "if somebody changed it in between, or it is there already, read it again and repeat; if something rests on it, see to that first",
};

interface StatusFields {
  readonly message: string;
  readonly reason: string;
  readonly causes: readonly string[];
  /** Of an answer that is no Kubernetes Status. */
  readonly code?: string;
  /** Where the hub says what to do about it. */
  readonly mend?: string;
}

/** Kubernetes' Status, or `{code, message, mend}` of enrolment and artifacts. */
function statusFields(text: string): StatusFields {
  try {
    const value: {
      message?: unknown;
      reason?: unknown;
      code?: unknown;
      mend?: unknown;
      details?: { causes?: unknown };
    } = JSON.parse(text);
    const causes = Array.isArray(value.details?.causes) ? value.details.causes : [];
    return {
      message: textOf(value.message) || text.slice(0, 300),
      reason: textOf(value.reason),
      ...(typeof value.code === "string" ? { code: value.code } : {}),
      ...(typeof value.mend === "string" ? { mend: value.mend } : {}),
      causes: causes.map(
        (c: { field?: string; message?: string }) => `${c.field ?? ""}: ${c.message ?? ""}`,
      ),
    };
  } catch {
    return {
      message: text.slice(0, 300) || "the hub answered with an error and no text",
      reason: "",
      causes: [],
    };
  }
}

/** An empty name is the collection, on which DELETE deletes everything; dots are resolved away by URL parsers. */
function refuseOtherPath(place: {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}): void {
  for (const field of ["namespace", "name"] as const) {
    const value = place[field];
    if (value === undefined || !/^\.{0,2}$|\//.test(value)) continue;
    throw new CliError("usage", `"${value}" is no ${field}`, {
      mend: field === "name" ? "name the object: KIND NAME or KIND/NAME" : "-n NAMESPACE",
    });
  }
}

/** Path of a collection, or of an item in it. Throws on a name that would lead elsewhere. */
export function resourcePath(
  kind: NamedKind,
  place: {
    readonly namespace?: string | undefined;
    readonly name?: string | undefined;
    readonly subresource?: string;
  },
): string {
  refuseOtherPath(place);
  const root = kind.apiVersion.includes("/")
    ? `/apis/${kind.apiVersion}`
    : `/api/${kind.apiVersion}`;
  const namespace =
    kind.namespaced && place.namespace !== undefined
      ? `/namespaces/${encodeURIComponent(place.namespace)}`
      : "";
  const name = place.name === undefined ? "" : `/${encodeURIComponent(place.name)}`;
  const subresource = place.subresource === undefined ? "" : `/${place.subresource}`;
  return `${root}${namespace}/${kind.plural}${name}${subresource}`;
}
