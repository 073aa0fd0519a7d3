import { Agent } from "node:https";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, hasCode } from "@flotilla/shared/kernel/errors";
import type { ByteRequest } from "../../app/artifact/ports.ts";
import type {
  ByteSourceErrorCode,
  PeerAddress,
  PeerProgress,
  PeerSource,
  RangeSource,
  SourceMaker,
} from "../../app/delivery/ports.ts";
import type { CredentialStore } from "../../app/link/ports.ts";
import { type GetAnswer, type GetCall, get, type Pace, sourceError } from "./get.ts";
import { PeerAgent, type PeerIdentity } from "./peer-agent.ts";

/** Most bytes of one range: 1 MiB. */
export const RANGE_BYTES_MAX: number = 1024 * 1024;
/** Ranges of one file that are asked for at a time: the next is under way while the last comes. */
const RANGES_AT_A_TIME = 2;
/** Connections to the hub's artifact server. */
const HUB_SOCKETS_MAX = 4;
/** Until the hub begins to answer. */
export const HUB_ANSWER_TIMEOUT_MS = 20_000;
/** Until a peer begins to answer, besides what it was allowed to wait. */
export const PEER_ANSWER_TIMEOUT_MS = 5_000;
/** A peer that sends less is of no use on a LAN. */
export const PEER_PACE: Pace = { windowMs: 10_000, bytesPerSecondMin: 4 * 1024 };
/** Sources that are kept with their connections; the oldest goes. */
const SOURCES_MAX = 80;
/** Files whose entity tag is remembered, of one source. */
const ETAGS_MAX = 16;

export interface HttpSourcesOptions {
  /** Where the artifact server is reached from here, when that is not what the hub says. */
  readonly artifactUrl?: string | undefined;
}

export interface HttpSourcesDeps {
  readonly credentials: Pick<CredentialStore, "load">;
  readonly clock: Clock;
}

/** Sources over HTTPS with the node's certificate: the hub's artifact server and other nodes. */
export class HttpSources implements SourceMaker {
  readonly #options: HttpSourcesOptions;
  readonly #deps: HttpSourcesDeps;
  readonly #hubs = new Map<string, HttpSource>();
  readonly #peers = new Map<string, HttpPeerSource>();

  constructor(options: HttpSourcesOptions, deps: HttpSourcesDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  hub(server: string): RangeSource {
    const origin = this.#options.artifactUrl ?? server;
    return kept(this.#hubs, origin, () => {
      const agents = new Agents(this.#deps, (identity) => hubAgent(identity));
      const options = { name: "hub", origin, answerTimeoutMs: HUB_ANSWER_TIMEOUT_MS };
      return new HttpSource(options, { ...this.#deps, agents });
    });
  }

  peer(address: PeerAddress): PeerSource {
    const { node, host, port } = address;
    const origin = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
    return kept(this.#peers, `${node}@${origin}`, () => {
      const wallMs = (): number => this.#deps.clock.wallMs();
      const agents = new Agents(
        this.#deps,
        (identity) => new PeerAgent({ peer: address, identity }, { wallMs }),
      );
      const options = {
        name: `peer ${node}`,
        origin,
        answerTimeoutMs: PEER_ANSWER_TIMEOUT_MS,
        pace: PEER_PACE,
      };
      return new HttpPeerSource({ ...options, node }, { ...this.#deps, agents });
    });
  }

  /** Ends every connection. */
  close(): void {
    for (const source of [...this.#hubs.values(), ...this.#peers.values()]) source.close();
  }
}

function kept<T extends { close(): void }>(known: Map<string, T>, key: string, make: () => T): T {
  const found = known.get(key) ?? make();
  known.delete(key);
  known.set(key, found);
  const [oldest] = known;
  if (known.size > SOURCES_MAX && oldest !== undefined) {
    oldest[1].close();
    known.delete(oldest[0]);
  }
  return found;
}

function hubAgent({ certificate, privateKey, caCertificate }: PeerIdentity): Agent {
  return new Agent({
    keepAlive: true,
    maxSockets: HUB_SOCKETS_MAX,
    cert: certificate,
    key: privateKey,
    ca: caCertificate,
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
  });
}

/** Connections with the present certificate; a renewed one gets new ones. */
class Agents {
  readonly #credentials: Pick<CredentialStore, "load">;
  readonly #make: (identity: PeerIdentity) => Agent;
  #known: { readonly certificate: string; readonly agent: Agent } | undefined;

  constructor(
    deps: { readonly credentials: Pick<CredentialStore, "load"> },
    make: (identity: PeerIdentity) => Agent,
  ) {
    this.#credentials = deps.credentials;
    this.#make = make;
  }

  present(): Agent {
    const own = this.#credentials.load();
    if (own === undefined)
      throw new CodedError<ByteSourceErrorCode>(
        "source-unreachable",
        "this node has no credentials",
        { mend: "Join the node again." },
      );
    if (this.#known?.certificate !== own.certificate) {
      this.close();
      this.#known = { certificate: own.certificate, agent: this.#make(own) };
    }
    return this.#known.agent;
  }

  close(): void {
    this.#known?.agent.destroy();
    this.#known = undefined;
  }
}

interface SourceOptions {
  readonly name: string;
  readonly origin: string;
  readonly answerTimeoutMs: number;
  readonly pace?: Pace;
}

class HttpSource implements RangeSource {
  readonly name: string;
  readonly rangeBytesMax = RANGE_BYTES_MAX;
  readonly rangesAtATime = RANGES_AT_A_TIME;
  readonly #options: SourceOptions;
  readonly #deps: { readonly clock: Clock; readonly agents: Agents };
  /** Path → entity tag and length of the file that ranges came of. */
  readonly #seen = new Map<string, Pick<GetAnswer, "etag" | "totalBytes">>();

  constructor(options: SourceOptions, deps: { readonly clock: Clock; readonly agents: Agents }) {
    this.name = options.name;
    this.#options = options;
    this.#deps = deps;
  }

  read(request: ByteRequest): Promise<Uint8Array> {
    return this.readRange(request, {});
  }

  /** `waitMs`: the answer may take so much longer. */
  protected async readRange(
    { path, offset, length, signal }: ByteRequest,
    { waitMs = 0 }: { readonly waitMs?: number },
  ): Promise<Uint8Array> {
    const seconds = Math.ceil(waitMs / 1000);
    const call = this.call(path, {
      headers: {
        range: `bytes=${offset}-${offset + length - 1}`,
        ...(seconds > 0 ? { prefer: `wait=${seconds}` } : {}),
      },
      expect: { kind: "range", offset, length },
      answerTimeoutMs: this.#options.answerTimeoutMs + waitMs,
      signal,
    });
    const answer = await get(call, this.#deps);
    this.#refuseAnotherFile(path, answer, call);
    return answer.bytes;
  }

  async readWhole(request: {
    readonly path: string;
    readonly bytesMax: number;
    readonly signal: AbortSignal;
  }): Promise<Uint8Array | "absent"> {
    const { path, bytesMax, signal } = request;
    try {
      const call = this.call(path, { expect: { kind: "whole", bytesMax }, signal });
      return (await get(call, this.#deps)).bytes;
    } catch (error) {
      if (hasCode(error, "source-absent")) return "absent";
      throw error;
    }
  }

  close(): void {
    this.#deps.agents.close();
  }

  protected head(path: string, signal: AbortSignal): Promise<GetAnswer> {
    const expect = { kind: "whole", bytesMax: 0 } as const;
    return get(this.call(path, { expect, signal, method: "HEAD" }), this.#deps);
  }

  protected call(
    path: string,
    over: Partial<GetCall> & Pick<GetCall, "expect" | "signal">,
  ): GetCall {
    const { name, origin, answerTimeoutMs, pace } = this.#options;
    return {
      source: name,
      url: new URL(`/v1/${path}`, origin),
      agent: this.#deps.agents.present(),
      method: "GET",
      headers: {},
      answerTimeoutMs,
      ...(pace === undefined ? {} : { pace }),
      ...over,
    };
  }

  /** Ranges of two files put together are neither; digests would tell, but not who is to blame. */
  #refuseAnotherFile(path: string, answer: GetAnswer, call: GetCall): void {
    const before = this.#seen.get(path);
    const isSame =
      before === undefined ||
      (before.etag === answer.etag && before.totalBytes === answer.totalBytes);
    this.#seen.delete(path);
    if (!isSame)
      throw sourceError("source-misbehaves", call, "the file is another one than before");
    this.#seen.set(path, { etag: answer.etag, totalBytes: answer.totalBytes });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > ETAGS_MAX && oldest !== undefined) this.#seen.delete(oldest);
  }
}

class HttpPeerSource extends HttpSource implements PeerSource {
  readonly node: string;

  constructor(
    options: SourceOptions & { readonly node: string },
    deps: { readonly clock: Clock; readonly agents: Agents },
  ) {
    super(options, deps);
    this.node = options.node;
  }

  readWhenThere(request: ByteRequest, waitMs: number): Promise<Uint8Array> {
    return this.readRange(request, { waitMs });
  }

  async progress(path: string, signal: AbortSignal): Promise<PeerProgress | "absent"> {
    try {
      return (await this.head(path, signal)).progress;
    } catch (error) {
      if (hasCode(error, "source-absent")) return "absent";
      throw error;
    }
  }
}
