import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { type NodeId, parseNodeId } from "@flotilla/shared/kernel/ids";
import type { Random } from "@flotilla/shared/kernel/random";
import type { Metrics } from "@flotilla/shared/kernel/service";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import type { UpMessage } from "@flotilla/shared/protocol/up";
import {
  ApiError,
  badRequest,
  notFound,
  serviceUnavailable,
  timeout,
  tooManyRequests,
} from "../../domain/resources/api-error.ts";
import type { NodeLink } from "../link/ports.ts";
import { downEnvelope } from "../node/down-envelope.ts";
import type { ResourceStore } from "../resources/ports.ts";
import type { LogApi } from "./ports.ts";

/** How long a node may take to answer, milliseconds. */
export const LOG_ANSWER_TIMEOUT_MS = 10_000;
/** Most requests under way; more are refused with TooManyRequests. */
export const LOG_REQUESTS_MAX = 64;
/** Most requests under way to one node, whose uplink they share. */
export const LOG_REQUESTS_PER_NODE_MAX = 4;
/** Most lines of one request (schema of log-get). */
export const LOG_TAIL_LINES_MAX = 10_000;
/** A client that was refused may come back after this. */
const LOG_RETRY_AFTER_SECONDS = 1;

type LogRequest = Parameters<LogApi["tail"]>[0];
type LogAnswer = Awaited<ReturnType<LogApi["tail"]>>;
type LogChunkMessage = Extract<UpMessage, { kind: "log-chunk" }>;

interface OpenRequest {
  readonly nodeId: NodeId;
  readonly resolve: (answer: LogAnswer) => void;
  readonly reject: (error: ApiError) => void;
}

/** Asks nodes for the end of a log and waits for the answer. Nothing is kept: a request that is not answered has failed. */
export class LogService implements LogApi {
  readonly #store: ResourceStore;
  readonly #link: Pick<NodeLink, "send">;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #metrics: Metrics;
  readonly #open = new Map<string, OpenRequest>();

  constructor(deps: {
    readonly store: ResourceStore;
    readonly link: Pick<NodeLink, "send">;
    readonly clock: Clock;
    readonly random: Random;
    readonly metrics: Metrics;
  }) {
    this.#store = deps.store;
    this.#link = deps.link;
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.#metrics = deps.metrics;
  }

  /** Also throws BadRequest for a container that the pod does not have, and TooManyRequests at the limits. */
  async tail(request: LogRequest): Promise<LogAnswer> {
    try {
      const answer = await this.#ask(request);
      this.#metrics.count("flotilla_hub_log_requests_total", { outcome: "answered" });
      return answer;
    } catch (error) {
      const outcome = error instanceof ApiError ? error.reason : "failed";
      this.#metrics.count("flotilla_hub_log_requests_total", { outcome });
      throw error;
    }
  }

  /** A chunk came from this node. One that answers another node's request is ignored: ids are no secret. */
  chunkArrived(nodeId: NodeId, message: LogChunkMessage): void {
    const open = this.#open.get(message.replyTo ?? "");
    if (open === undefined || open.nodeId !== nodeId) {
      this.#metrics.count("flotilla_hub_log_chunks_unasked_total");
      return;
    }
    const { text, truncated, error } = message.body;
    if (error === undefined) open.resolve({ text, truncated });
    else open.reject(serviceUnavailable(`node ${nodeId} has no such log: ${error}`));
  }

  /** What was asked over a session that is gone will not be answered. */
  sessionEnded(nodeId: NodeId): void {
    for (const open of this.#open.values())
      if (open.nodeId === nodeId)
        open.reject(serviceUnavailable(`the link to node ${nodeId} broke; try again later`));
  }

  async #ask(request: LogRequest): Promise<LogAnswer> {
    const assignment = this.#assignmentOf(request);
    const nodeId = parseNodeId(assignment.spec.node ?? "");
    if (nodeId === undefined)
      throw serviceUnavailable(`pod ${request.pod} is not placed on a node yet`);
    this.#assertRoom(nodeId);
    const message = this.#messageOf(request, assignment.spec.desired.id);
    const ended = new AbortController();
    try {
      return await new Promise<LogAnswer>((resolve, reject) => {
        this.#open.set(message.id, { nodeId, resolve, reject });
        const fail = (error: ApiError): void => reject(error);
        this.#clock.sleep(LOG_ANSWER_TIMEOUT_MS, ended.signal).then(
          () => fail(timeout(`node ${nodeId} did not answer within ${LOG_ANSWER_TIMEOUT_MS} ms`)),
          () => {},
        );
        this.#link.send(nodeId, message).then(
          (sent) => {
            if (!sent) fail(serviceUnavailable(`node ${nodeId} is not connected`));
          },
          (error: unknown) =>
            fail(serviceUnavailable(`node ${nodeId} could not be asked: ${messageOf(error)}`)),
        );
      });
    } finally {
      this.#open.delete(message.id);
      ended.abort();
    }
  }

  #assignmentOf({ namespace, pod, container }: LogRequest): ObjectOf<"Assignment"> {
    const assignment = this.#store.get("Assignment", namespace, pod);
    if (assignment === undefined)
      throw notFound({ group: "", plural: "pods", kind: "Pod", name: pod });
    const names = assignment.spec.desired.containers.map((c) => c.name);
    if (container !== undefined && !names.includes(container))
      throw badRequest(
        `container ${container} is not valid for pod ${pod}; choose one of: ${names.join(", ")}`,
      );
    return assignment;
  }

  #assertRoom(nodeId: NodeId): void {
    const ofNode = [...this.#open.values()].filter((o) => o.nodeId === nodeId).length;
    if (this.#open.size >= LOG_REQUESTS_MAX || ofNode >= LOG_REQUESTS_PER_NODE_MAX)
      throw tooManyRequests("too many log requests are under way", LOG_RETRY_AFTER_SECONDS);
  }

  #messageOf(request: LogRequest, instance: string): Extract<DownMessage, { kind: "log-get" }> {
    const envelope = downEnvelope({ clock: this.#clock, random: this.#random });
    const tailLines = Math.min(Math.max(Math.trunc(request.tailLines), 1), LOG_TAIL_LINES_MAX);
    return {
      ...envelope,
      expiresAt: envelope.sentAt + LOG_ANSWER_TIMEOUT_MS,
      kind: "log-get",
      body: {
        instance,
        tailLines,
        ...(request.container === undefined ? {} : { container: request.container }),
      },
    };
  }
}
