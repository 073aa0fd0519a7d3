import { request } from "node:http";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { systemCode } from "@flotilla/shared/platform/files";

/** Why a question to the agent had no answer. */
export type LocalClientErrorCode = "unreachable" | "not-found" | "usage" | "failed";

/** Longest wait for the agent's answer. */
export const LOCAL_ANSWER_TIMEOUT_MS = 5_000;
/** Largest answer that is read. */
export const LOCAL_ANSWER_BYTES_MAX: number = 8 * 1024 * 1024;

/** Asks the agent behind the socket. Throws CodedError when there is none, or when it refuses. */
export async function askAgent(
  socketPath: string,
  path: string,
  method: "GET" | "POST" | "DELETE" = "GET",
): Promise<unknown> {
  const { status, text } = await ask(socketPath, path, method);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new CodedError<LocalClientErrorCode>("failed", "the agent's answer is no JSON", {
      cause: error,
    });
  }
  if (status === 200) return body;
  throw new CodedError(
    status === 404 ? "not-found" : status === 400 ? "usage" : "failed",
    problem(body),
  );
}

/** The agent's metrics as text. Throws CodedError as `askAgent` does. */
export async function readMetrics(socketPath: string): Promise<string> {
  const { status, text } = await ask(socketPath, "/metrics", "GET");
  if (status === 200) return text;
  throw new CodedError<LocalClientErrorCode>("failed", "the agent does not tell its metrics");
}

function problem(body: unknown): string {
  if (typeof body !== "object" || body === null || !("error" in body)) return "the agent refused";
  const { error } = body;
  return typeof error === "object" && error !== null && "message" in error
    ? String(error.message)
    : "the agent refused";
}

function ask(
  socketPath: string,
  path: string,
  method: string,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(LOCAL_ANSWER_TIMEOUT_MS);
    const asked = request({ socketPath, path, method, signal, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > LOCAL_ANSWER_BYTES_MAX) response.destroy(new Error("the answer is too long"));
        else chunks.push(chunk);
      });
      response.once("error", (error) => reject(unreachable(socketPath, error)));
      response.once("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          text: Buffer.concat(chunks).toString("utf8"),
        }),
      );
    });
    asked.once("error", (error) => reject(unreachable(socketPath, error)));
    asked.end();
  });
}

function unreachable(socketPath: string, error: Error): CodedError<LocalClientErrorCode> {
  const code = systemCode(error);
  const why = code === "ENOENT" || code === "ECONNREFUSED" ? "no agent runs there" : error.message;
  const mend =
    code === "EACCES"
      ? "Run it as the agent's user or a member of its group."
      : "Start the agent (systemctl start flotilla-agent), or name its --state-dir.";
  return new CodedError("unreachable", `the agent at ${socketPath} does not answer: ${why}`, {
    mend,
    cause: error,
  });
}
