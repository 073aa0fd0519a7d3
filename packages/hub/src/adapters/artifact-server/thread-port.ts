import type { MessagePort } from "node:worker_threads";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import { fileError } from "@flotilla/shared/platform/files";
import type { Answers, FromServer, Outcome, Question, ToServer } from "./messages.ts";

/** An error as it can be told to another thread. */
export function outcomeOfError(error: unknown, path = "artifacts"): Outcome {
  const told = fileError(error, path);
  const isCoded = told instanceof CodedError;
  return {
    ok: false,
    error: {
      code: isCoded ? told.code : "failed",
      message: messageOf(told),
      fields: isCoded ? { ...told.fields } : {},
      mend: isCoded ? told.mend : undefined,
    },
  };
}

/** The value, or what went wrong in the other thread, thrown. */
export function valueOf(outcome: Outcome): unknown {
  if (outcome.ok) return outcome.value;
  const { code, message, fields, mend } = outcome.error;
  throw new CodedError(code, message, { fields, ...(mend === undefined ? {} : { mend }) });
}

/** The thread's side of its port to the hub: asks, tells, and hears what it is told. */
export class HubPort {
  readonly #port: MessagePort;
  readonly #open = new Map<number, (outcome: Outcome) => void>();
  #lastId = 0;

  constructor(
    port: MessagePort,
    onMessage: (message: Exclude<ToServer, { type: "reply" }>) => void,
  ) {
    this.#port = port;
    port.on("message", (message: ToServer) => {
      if (message.type !== "reply") return onMessage(message);
      this.#open.get(message.id)?.(message.outcome);
      this.#open.delete(message.id);
    });
  }

  tell(message: FromServer): void {
    this.#port.postMessage(message);
  }

  /** Rejects with the CodedError that the hub answered with. */
  ask<K extends Question["kind"]>(question: Extract<Question, { kind: K }>): Promise<Answers[K]> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#open.set(id, (outcome) => {
        try {
          resolve(valueOf(outcome) as Answers[K]);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(messageOf(error)));
        }
      });
      this.tell({ type: "question", id, question });
    });
  }

  close(): void {
    this.#port.close();
  }

  /** A log whose lines are the hub's. */
  log(bindings: Readonly<Record<string, unknown>> = {}): Log {
    const at =
      (level: "debug" | "info" | "warn" | "error"): Log["info"] =>
      (fields, message) =>
        this.tell({ type: "log", level, fields: { ...bindings, ...fields }, message });
    return {
      debug: at("debug"),
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      child: (fields) => this.log({ ...bindings, ...fields }),
    };
  }
}
