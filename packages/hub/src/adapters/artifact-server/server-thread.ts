import type { Worker } from "node:worker_threads";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { parseNodeId } from "@flotilla/shared/kernel/ids";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { FileTaker } from "../../app/artifact/ports.ts";
import type { NodeAdmission } from "../../app/link/ports.ts";
import type { DiskBlobStore } from "../artifact-store/disk-blob-store.ts";
import { DRAIN_MS_MAX } from "./limits.ts";
import type {
  Counts,
  FromServer,
  Outcome,
  Question,
  ServerPorts,
  ServerSetup,
  ServerTls,
  ToServer,
} from "./messages.ts";
import { outcomeOfError, valueOf } from "./thread-port.ts";

/** The server has to be up within this time of its start. */
const START_MS_MAX = 30_000;
/** After the time for draining the thread is ended all the same. */
const STOP_MS_MAX: number = DRAIN_MS_MAX + 2_000;

/** Failures of the thread as a whole. */
export type ArtifactServerErrorCode =
  /** Its port could not be had, or it did not come up. */
  | "artifact-server-not-up"
  /** It ended by itself, and is started again. */
  | "artifact-server-died";

interface Deps {
  /** Makes the thread; it begins at once. */
  readonly spawn: (setup: ServerSetup) => Worker;
  readonly blobs: DiskBlobStore;
  readonly admission: NodeAdmission;
  /** The hub's signed word for the time, to this nonce. */
  readonly timeAnswer: (nonce: string) => Uint8Array;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** One life of the thread. */
interface Life {
  readonly worker: Worker;
  readonly ports: Promise<ServerPorts>;
  /** Resolves when the thread is gone, with what ended it. */
  readonly ended: Promise<string>;
  isUp: boolean;
  isStopping: boolean;
}

/**
 * The artifact server in a thread of its own, so that nobody's download holds up a heartbeat. As a service it fails when the
 * thread dies, and the supervisor starts it again, on the same ports.
 */
export class ArtifactServerThread implements Service, FileTaker {
  readonly name = "artifact-server";
  #setup: ServerSetup;
  readonly #deps: Deps;
  readonly #log: Log;
  #life: Life | undefined;
  readonly #taking = new Map<number, (outcome: Outcome) => void>();
  #lastId = 0;

  constructor(setup: ServerSetup, deps: Deps) {
    this.#setup = setup;
    this.#deps = deps;
    this.#log = deps.log.child({ service: this.name });
  }

  /** True while it serves. */
  get isUp(): boolean {
    return this.#life?.isUp === true;
  }

  /** Resolves when it serves. Rejects with `artifact-server-not-up`. */
  async start(): Promise<ServerPorts> {
    const life = this.#begin();
    const ports = await life.ports;
    // Nodes know the port: the next life has the same.
    const { nodes, administrators } = this.#setup;
    this.#setup = {
      ...this.#setup,
      nodes: { ...nodes, port: ports.nodes },
      administrators: { ...administrators, port: ports.administrators },
    };
    return ports;
  }

  async run(signal: AbortSignal): Promise<void> {
    if (this.#life === undefined) {
      await this.start();
      this.#deps.metrics.count("flotilla_hub_artifact_server_restarts_total");
    }
    const life = this.#life;
    if (life === undefined) return;
    const stop = (): void => this.#stop(life);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    const reason = await life.ended;
    signal.removeEventListener("abort", stop);
    if (!signal.aborted) throw died(reason);
  }

  /** Connections to come get this certificate. */
  setTls(tls: ServerTls): void {
    this.#setup = { ...this.#setup, tls };
    this.#tell({ type: "tls", tls });
  }

  /** What this node has open is cut; whether it may come back is asked anew. */
  refuse(nodeId: string): void {
    this.#tell({ type: "refused", nodeId });
  }

  take(
    path: string,
    bytesMax: number,
  ): Promise<{ readonly sha256: string; readonly length: number }> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#taking.set(id, (outcome) => {
        try {
          resolve(valueOf(outcome) as { readonly sha256: string; readonly length: number });
        } catch (error) {
          reject(error instanceof Error ? error : new Error(messageOf(error)));
        }
      });
      if (this.isUp) this.#tell({ type: "take", id, path, bytesMax });
      else this.#taken(id, outcomeOfError(died("it is not up")));
    });
  }

  #begin(): Life {
    const worker = this.#deps.spawn(this.#setup);
    let failure = "it ended by itself";
    worker.on("error", (error) => {
      failure = messageOf(error);
    });
    const ended = new Promise<string>((resolve) => worker.once("exit", () => resolve(failure)));
    const ports = new Promise<ServerPorts>((resolve, reject) => {
      const timer = setTimeout(() => reject(notUp("it took too long")), START_MS_MAX);
      worker.on("message", (message: FromServer) => {
        if (message.type !== "listening") return this.#heard(worker, message);
        clearTimeout(timer);
        this.#cameUp(life, message.ports);
        resolve(message.ports);
      });
      void ended.then((reason) => {
        clearTimeout(timer);
        reject(notUp(reason));
      });
    });
    const life: Life = { worker, ports, ended, isUp: false, isStopping: false };
    this.#life = life;
    ports.catch(() => void worker.terminate());
    void ended.then((reason) => this.#wentDown(life, reason));
    return life;
  }

  #cameUp(life: Life, ports: ServerPorts): void {
    life.isUp = true;
    this.#deps.metrics.set("flotilla_hub_artifact_server_up", 1);
    this.#log.info({ ports }, "artifact server is up");
  }

  #wentDown(life: Life, reason: string): void {
    if (this.#life === life) this.#life = undefined;
    if (life.isUp && !life.isStopping)
      this.#log.error({ reason }, "artifact server died; nodes cannot fetch until it is up again");
    life.isUp = false;
    this.#deps.metrics.set("flotilla_hub_artifact_server_up", 0);
    for (const id of this.#taking.keys()) this.#taken(id, outcomeOfError(died(reason)));
  }

  #stop(life: Life): void {
    life.isStopping = true;
    this.#tell({ type: "stop" });
    const timer = setTimeout(() => void life.worker.terminate(), STOP_MS_MAX);
    void life.ended.then(() => clearTimeout(timer));
  }

  #heard(worker: Worker, message: Exclude<FromServer, { type: "listening" }>): void {
    switch (message.type) {
      case "question":
        void this.#answer(message.question).then((outcome) =>
          worker.postMessage({ type: "reply", id: message.id, outcome } satisfies ToServer),
        );
        return;
      case "found": {
        // What the last life stored and could not tell any more, and what its uploads hold.
        this.#deps.blobs.rescan();
        return this.#deps.blobs.space.restore(message.uploads);
      }
      case "taken":
        return this.#taken(message.id, message.outcome);
      case "counted":
        return this.#count(message.counts);
      case "log":
        return this.#log[message.level](message.fields, message.message);
    }
  }

  /** Never rejects. */
  async #answer(question: Question): Promise<Outcome> {
    try {
      return { ok: true, value: await this.#answerOf(question) };
    } catch (error) {
      return outcomeOfError(error);
    }
  }

  async #answerOf(question: Question): Promise<unknown> {
    const { blobs, admission } = this.#deps;
    switch (question.kind) {
      case "admits": {
        const nodeId = parseNodeId(question.nodeId);
        return nodeId !== undefined && admission.admits(nodeId, question.serial);
      }
      case "time":
        return this.#deps.timeAnswer(question.nonce);
      case "claim":
        return blobs.claim(question.sha256);
      case "reserve": {
        const refusal = blobs.space.reserve(question.sha256, question.bytes);
        if (refusal !== undefined) throw refusal;
        return undefined;
      }
      case "release":
        return blobs.space.release(question.sha256);
      case "stored":
        return blobs.stored(question.sha256, question.bytes);
    }
  }

  #taken(id: number, outcome: Outcome): void {
    this.#taking.get(id)?.(outcome);
    this.#taking.delete(id);
  }

  #tell(message: ToServer): void {
    this.#life?.worker.postMessage(message);
  }

  #count({ served, uploads, uploadedBytes, refusals, connections }: Counts): void {
    const { metrics } = this.#deps;
    for (const { kind, outcome, count, bytes } of served) {
      metrics.count("flotilla_hub_artifact_requests_total", { kind, outcome }, count);
      metrics.count("flotilla_hub_artifact_served_bytes_total", { kind }, bytes);
    }
    for (const { outcome, count } of uploads)
      metrics.count("flotilla_hub_artifact_uploads_total", { outcome }, count);
    metrics.count("flotilla_hub_artifact_uploaded_bytes_total", {}, uploadedBytes);
    for (const { reason, count } of refusals)
      metrics.count("flotilla_hub_artifact_connections_refused_total", { reason }, count);
    metrics.set("flotilla_hub_artifact_connections", connections);
  }
}

function died(reason: string): CodedError<ArtifactServerErrorCode> {
  return new CodedError("artifact-server-died", `the artifact server died: ${reason}`, {
    fields: { reason },
    mend: "It is started again by itself; look at the lines before this one when it goes on dying.",
  });
}

function notUp(reason: string): CodedError<ArtifactServerErrorCode> {
  return new CodedError("artifact-server-not-up", `the artifact server did not start: ${reason}`, {
    fields: { reason },
    mend: "Give artifactListen and uploadListen addresses that are free on this machine.",
  });
}
