import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { NodeId } from "@flotilla/shared/kernel/ids";
import type { Random } from "@flotilla/shared/kernel/random";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import type { ArtifactOffer } from "@flotilla/shared/protocol/down/artifact-offer";
import type { Bytes } from "@flotilla/shared/protocol/down/bytes";
import type { UpMessage } from "@flotilla/shared/protocol/up";
import type { BytesGet } from "@flotilla/shared/protocol/up/bytes-get";
import { nonceOfTimePath } from "@flotilla/shared/trust/time";
import { parseServedPath } from "../../domain/artifact/served-path.ts";
import type { NodeLink } from "../link/ports.ts";
import { downEnvelope } from "../node/down-envelope.ts";
import type { Offers } from "./offers.ts";
import type { ServedBytes } from "./ports.ts";
import type { TrustPublisher } from "./trust-publisher.ts";

/** Most questions of one node that are being answered; more are answered "busy". */
export const QUESTIONS_OF_NODE_MAX = 4;
/** Most questions that are being answered; more are answered "busy". */
export const QUESTIONS_MAX = 256;
/** A node that asks how to get a file and finds the hub busy asks again after this. */
const BUSY_RETRY_MS = 5_000;

type Question = Extract<UpMessage, { kind: "artifact-get" | "bytes-get" }>;
type Answer =
  | { readonly kind: "artifact-offer"; readonly body: ArtifactOffer }
  | { readonly kind: "bytes"; readonly body: Bytes };

interface Deps {
  readonly link: Pick<NodeLink, "send">;
  readonly offers: Pick<Offers, "offerTo">;
  readonly bytes: ServedBytes;
  readonly trust: Pick<TrustPublisher, "timeAnswer">;
  readonly base64: (bytes: Uint8Array) => string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Answers what nodes ask over the link: how to get a file, and bytes of the artifact server where no other port passes. */
export class ArtifactQuestions {
  readonly #deps: Deps;
  readonly #ofNode = new Map<string, number>();
  #count = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Answers with `replyTo`, sooner or later, if the node is still there. Never throws. */
  asked(nodeId: NodeId, question: Question): void {
    const ofNode = this.#ofNode.get(nodeId) ?? 0;
    if (ofNode >= QUESTIONS_OF_NODE_MAX || this.#count >= QUESTIONS_MAX) {
      this.#send(nodeId, question, busy(question), "busy");
      return;
    }
    this.#count++;
    this.#ofNode.set(nodeId, ofNode + 1);
    void this.#answer(nodeId, question)
      .then(
        (answer) => this.#send(nodeId, question, answer, "answered"),
        (error: unknown) => {
          const fields = { node: nodeId, kind: question.kind, error: messageOf(error) };
          this.#deps.log.error(fields, "a question about artifacts was not answered");
          this.#send(nodeId, question, failed(question), "failed");
        },
      )
      .finally(() => this.#done(nodeId));
  }

  #done(nodeId: NodeId): void {
    this.#count--;
    const left = (this.#ofNode.get(nodeId) ?? 1) - 1;
    if (left > 0) this.#ofNode.set(nodeId, left);
    else this.#ofNode.delete(nodeId);
  }

  async #answer(nodeId: NodeId, question: Question): Promise<Answer> {
    if (question.kind === "bytes-get")
      return { kind: "bytes", body: await this.#bytesOf(question.body) };
    const body = await this.#deps.offers.offerTo(nodeId, question.body);
    return { kind: "artifact-offer", body };
  }

  async #bytesOf({ path, offset, length }: BytesGet): Promise<Bytes> {
    const nonce = nonceOfTimePath(path);
    if (nonce !== undefined) {
      const answer = this.#deps.trust.timeAnswer(nonce);
      const data = this.#deps.base64(answer.subarray(offset, offset + length));
      return { data, totalBytes: answer.byteLength };
    }
    const served = parseServedPath(path);
    const found = served && (await this.#deps.bytes.read(served, offset, length));
    return found ?? { data: "", totalBytes: 0, error: "not-found" };
  }

  /** Nobody waits for the answer here: one that is lost is asked for again. */
  #send(
    nodeId: NodeId,
    question: Question,
    answer: Answer,
    outcome: "answered" | "busy" | "failed",
  ): void {
    const { link, log, metrics } = this.#deps;
    metrics.count("flotilla_hub_artifact_questions_total", { kind: question.kind, outcome });
    const message: DownMessage = {
      ...downEnvelope(this.#deps),
      ...answer,
      replyTo: question.id,
    };
    link.send(nodeId, message).catch((error: unknown) => {
      log.warn({ node: nodeId, error: messageOf(error) }, "an answer could not be sent");
    });
  }
}

function busy(question: Question): Answer {
  if (question.kind === "bytes-get")
    return { kind: "bytes", body: { data: "", totalBytes: 0, error: "busy" } };
  const { target } = question.body;
  return {
    kind: "artifact-offer",
    body: { target, status: "pending", retryAfterMs: BUSY_RETRY_MS },
  };
}

function failed(question: Question): Answer {
  return question.kind === "bytes-get"
    ? { kind: "bytes", body: { data: "", totalBytes: 0, error: "failed" } }
    : busy(question);
}
