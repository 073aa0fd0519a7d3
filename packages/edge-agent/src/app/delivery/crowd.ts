import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, hasCode, messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import {
  type CrowdChoice,
  chooseInCrowd,
  type Member,
  type MemberState,
} from "../../domain/delivery/crowd.ts";
import { orderOfMembers } from "../../domain/delivery/peer-order.ts";
import type { PeerAddress, PeerProgress, PeerSource, SourceMaker } from "./ports.ts";

/** Why a peer is not asked again in a transfer. */
export type StrikeReason = "lied" | "misbehaved" | "stalled";

export interface CrowdDeps {
  readonly sources: Pick<SourceMaker, "peer">;
  readonly clock: Pick<Clock, "bootMs">;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Told to the operator: once for each peer and transfer. */
  readonly onStruck: (struck: { readonly node: string; readonly reason: StrikeReason }) => void;
}

type Known = { -readonly [K in keyof Member]: Member[K] } & {
  readonly source: PeerSource;
  /** The most that it ever said to have received; -1: it never said. */
  receivedBytes: number;
  /** Since when it is waited for, without a byte from it. */
  awaitedMs: number | undefined;
  /** Since it last gave something, or said how far it is. */
  failures: number;
};

/** One that says that it gets on, and gives nothing in so long, stalls: what it says of itself is not known to be true. */
export const FOLLOWED_MS_MAX = 600_000;
/** So many failures in a row, and it counts as down: one connection may break. */
const FAILURES_BEFORE_DOWN = 2;

const STRIKES: Readonly<Record<string, StrikeReason>> = {
  "source-misbehaves": "misbehaved",
  "source-too-slow": "stalled",
};
const NOTHING: PeerProgress = { availableBytes: 0, receivedBytes: 0 };

/** The nodes of the site that have or want one payload, as this node sees them. domain/delivery/crowd.ts decides. */
export class Crowd {
  readonly #path: string;
  readonly #deps: CrowdDeps;
  readonly #ownNode: string;
  #members: readonly Known[] = [];
  #ownPlace = 0;
  readonly #beganMs: number;
  #movedMs: number;

  /** `path`: of the payload on a source; everybody's order hangs on it. */
  constructor(
    options: {
      readonly path: string;
      readonly ownNode: string;
      readonly peers: readonly PeerAddress[];
    },
    deps: CrowdDeps,
  ) {
    this.#path = options.path;
    this.#ownNode = options.ownNode;
    this.#deps = deps;
    this.#beganMs = deps.clock.bootMs();
    this.#movedMs = this.#beganMs;
    this.learn(options.peers);
  }

  get isEmpty(): boolean {
    return this.#members.length === 0;
  }

  /** Others may have come to want it since. What is known of a node stays. */
  learn(peers: readonly PeerAddress[]): void {
    const others = peers.filter((peer) => peer.node !== this.#ownNode);
    const order = orderOfMembers(this.#path, [this.#ownNode, ...others.map((peer) => peer.node)]);
    this.#ownPlace = order.indexOf(this.#ownNode);
    this.#members = others.map((peer) => {
      const known = this.#known(peer.node) ?? this.#stranger(peer);
      known.place = order.indexOf(peer.node);
      return known;
    });
  }

  choose(neededBytes: number, isHubFailing: boolean): CrowdChoice {
    return chooseInCrowd({
      members: this.#members,
      ownPlace: this.#ownPlace,
      neededBytes,
      nowMs: this.#deps.clock.bootMs(),
      beganMs: this.#beganMs,
      movedMs: this.#movedMs,
      isHubFailing,
    });
  }

  source(node: string): PeerSource | undefined {
    return this.#members.find((member) => member.node === node)?.source;
  }

  /** Sees what these have. Never rejects, but with the signal's reason. */
  async look(nodes: readonly string[], signal: AbortSignal): Promise<void> {
    await Promise.all(nodes.map((node) => this.#lookAt(node, signal)));
    signal.throwIfAborted();
  }

  /** A read of it failed. */
  failed(node: string, error: unknown): void {
    const member = this.#known(node);
    if (member === undefined || !(error instanceof CodedError)) return;
    const strike = STRIKES[error.code];
    if (strike !== undefined) this.strike(node, strike, messageOf(error));
    else if (error.code === "source-not-yet") this.#waitedFor(member, progressIn(error));
    else if (error.code === "source-absent" || error.code === "source-busy")
      this.#set(member, "absent", NOTHING);
    else {
      member.failures += 1;
      const isDown = member.state !== "there" || member.failures >= FAILURES_BEFORE_DOWN;
      this.#set(member, isDown ? "down" : "there", NOTHING);
    }
  }

  /** A read of it succeeded. */
  gave(node: string): void {
    const member = this.#known(node);
    if (member === undefined) return;
    member.failures = 0;
    member.awaitedMs = undefined;
  }

  /** It is not asked again in this transfer. */
  strike(node: string, reason: StrikeReason, detail: string): void {
    const { log, metrics, onStruck } = this.#deps;
    const member = this.#known(node);
    if (member === undefined || member.state === "struck") return;
    this.#set(member, "struck", NOTHING);
    metrics.count("flotilla_agent_peers_struck_total", { reason });
    log.warn({ node, reason, detail, path: this.#path }, "a peer is not asked again");
    onStruck({ node, reason });
  }

  #stranger(peer: PeerAddress): Known {
    return {
      node: peer.node,
      place: 0,
      state: "unknown",
      availableBytes: 0,
      receivedBytes: -1,
      awaitedMs: undefined,
      failures: 0,
      seenMs: this.#beganMs,
      source: this.#deps.sources.peer(peer),
    };
  }

  async #lookAt(node: string, signal: AbortSignal): Promise<void> {
    const member = this.#known(node);
    if (member === undefined) return;
    try {
      const progress = await member.source.progress(this.#path, signal);
      if (progress === "absent") this.#set(member, "absent", NOTHING);
      else this.#saw(member, progress);
    } catch (error) {
      if (!signal.aborted) this.failed(node, error);
    }
  }

  #waitedFor(member: Known, progress: PeerProgress): void {
    const nowMs = this.#deps.clock.bootMs();
    member.awaitedMs ??= nowMs;
    this.#saw(member, progress);
    if (nowMs - member.awaitedMs >= FOLLOWED_MS_MAX)
      this.strike(member.node, "stalled", `nothing came of it in ${FOLLOWED_MS_MAX / 1000} s`);
  }

  #saw(member: Known, progress: PeerProgress): void {
    const isMore = progress.receivedBytes > member.receivedBytes;
    member.failures = 0;
    if (isMore) member.receivedBytes = progress.receivedBytes;
    if (isMore && member.place < this.#ownPlace) this.#movedMs = this.#deps.clock.bootMs();
    this.#set(member, "there", progress);
  }

  #set(member: Known, state: MemberState, progress: PeerProgress): void {
    // What lied is not believed again, whatever it says.
    if (member.state === "struck") return;
    member.state = state;
    member.availableBytes = progress.availableBytes;
    member.seenMs = this.#deps.clock.bootMs();
  }

  #known(node: string): Known | undefined {
    return this.#members.find((member) => member.node === node);
  }
}

function progressIn(error: CodedError): PeerProgress {
  const { availableBytes, receivedBytes } = error.fields;
  return hasCode(error, "source-not-yet") &&
    typeof availableBytes === "number" &&
    typeof receivedBytes === "number"
    ? { availableBytes, receivedBytes }
    : NOTHING;
}
