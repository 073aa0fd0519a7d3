import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import {
  INITIAL_ROUTE,
  type RouteEvent,
  type RouteState,
  stepRoute,
} from "../../domain/delivery/route.ts";
import type { ByteRequest, ByteSource } from "../artifact/ports.ts";
import type { RangeSource, SourceMaker } from "./ports.ts";

/** Failures that say something of the way, not of the file. */
const WAY_FAILURES: readonly string[] = [
  "source-unreachable",
  "source-misbehaves",
  "source-too-slow",
];

interface Deps {
  readonly sources: Pick<SourceMaker, "hub">;
  readonly link: RangeSource;
  /** Address of the hub's artifact server, as the accepted desired state names it. */
  readonly server: () => string | undefined;
  /** HTTPS has failed too often, last with this error: from now on the link is used. */
  readonly onFallback: (error: CodedError) => void;
  readonly clock: Pick<Clock, "bootMs">;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** The hub as a source: by HTTPS, or over the link while HTTPS does not pass. domain/delivery/route.ts decides. */
export class HubRoute implements ByteSource {
  readonly name = "hub";
  readonly #deps: Deps;
  #state: RouteState = INITIAL_ROUTE;
  /** Code of the failure that was told, until HTTPS works again: probes that fail alike are no news. */
  #toldCode: string | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** By which way to ask now. What comes of it is told to the route by itself. */
  present(): RangeSource {
    const { sources, link, server, clock } = this.#deps;
    this.#step({ kind: "asked", nowMs: clock.bootMs() });
    const address = server();
    // Without an address nothing is to be learnt of HTTPS.
    if (address === undefined) return link;
    return this.#state.phase === "fallback"
      ? this.#watched(link, () => this.#step({ kind: "link-failed" }))
      : this.#direct(sources.hub(address));
  }

  read(request: ByteRequest): Promise<Uint8Array> {
    return this.present().read(request);
  }

  /** A small thing is tried over the link at once when HTTPS fails. */
  async readWhole(request: Parameters<ByteSource["readWhole"]>[0]): Promise<Uint8Array | "absent"> {
    const source = this.present();
    try {
      return await source.readWhole(request);
    } catch (error) {
      if (source.name === this.#deps.link.name || !isWayFailure(error)) throw error;
      request.signal.throwIfAborted();
      return this.#deps.link.readWhole(request);
    }
  }

  #direct(source: RangeSource): RangeSource {
    const failed = (error: CodedError): void => {
      this.#step({ kind: "direct-failed", nowMs: this.#deps.clock.bootMs() });
      this.#tell(error);
    };
    const worked = (): void => {
      this.#toldCode = undefined;
      this.#step({ kind: "direct-worked" });
    };
    return this.#watched(source, failed, worked);
  }

  #tell(error: CodedError): void {
    if (this.#state.phase !== "fallback" || this.#toldCode === error.code) return;
    this.#toldCode = error.code;
    this.#deps.onFallback(error);
  }

  #watched(
    source: RangeSource,
    failed: (error: CodedError) => void,
    worked?: () => void,
  ): RangeSource {
    const watch = async <T>(work: Promise<T>): Promise<T> => {
      try {
        const result = await work;
        worked?.();
        return result;
      } catch (error) {
        if (isWayFailure(error)) failed(error);
        throw error;
      }
    };
    return {
      name: source.name,
      rangeBytesMax: source.rangeBytesMax,
      rangesAtATime: source.rangesAtATime,
      read: (request) => watch(source.read(request)),
      readWhole: (request) => watch(source.readWhole(request)),
    };
  }

  #step(event: RouteEvent): void {
    const { log, metrics } = this.#deps;
    const before = this.#state.phase;
    this.#state = stepRoute(this.#state, event);
    const { phase } = this.#state;
    if (phase === before) return;
    metrics.set("flotilla_agent_artifact_fallback", phase === "direct" ? 0 : 1);
    if (phase === "direct") log.info({}, "the hub's artifact server answers again");
    if (before === "direct")
      log.warn({}, "the hub's artifact server cannot be reached; artifacts come over MQTT");
  }
}

function isWayFailure(error: unknown): error is CodedError {
  return error instanceof CodedError && WAY_FAILURES.includes(error.code);
}
