import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { type Random, randomHex } from "@flotilla/shared/kernel/random";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import { firstState } from "@flotilla/shared/trust/decide";
import {
  type FinalDecision,
  type GatherQuestion,
  gather,
  type MetadataSource,
} from "@flotilla/shared/trust/gather";
import { ROOT_BYTES_MAX } from "@flotilla/shared/trust/limits";
import { openMetadata } from "@flotilla/shared/trust/metadata";
import type { TrustTools } from "@flotilla/shared/trust/ports";
import { TrustError } from "@flotilla/shared/trust/refusal";
import { isLaterRoot } from "@flotilla/shared/trust/roots";
import type { OfferedFiles, RoleSummary, TrustState } from "@flotilla/shared/trust/state";
import {
  judgeTime,
  type SignatureCheck,
  TIME_ANSWER_BYTES_MAX,
  TIME_NONCE_BYTES,
  timePathOf,
} from "@flotilla/shared/trust/time";
import type { ByteSource, ByteSourceErrorCode, TrustStore } from "./ports.ts";

/** A file of metadata that has not come in this long is asked of the next source. */
export const METADATA_FETCH_MS_MAX: number = 5 * 60_000;
/** The time floor is written with other changes, or when it has risen by this much: a day. Spares the flash. */
export const FLOOR_WRITE_INTERVAL_MS = 86_400_000;

/** Roles that machines renew every day; what people must renew are the others. */
const ONLINE_ROLES: ReadonlySet<string> = new Set(["timestamp", "snapshot"]);

export type TrustRootErrorCode =
  /** The file of `trustRoot` cannot be read, or is no root that its own keys have signed. */
  "trust-root-unusable";

export interface TrustMetadataDeps {
  readonly store: TrustStore;
  /** In the order in which they are asked. */
  readonly sources: () => readonly ByteSource[];
  /**
   * The root that this machine's owner has laid here; undefined: none, and the hub is asked once. Throws CodedError
   * `trust-root-unusable`.
   */
  readonly configuredRoot: () => Uint8Array | undefined;
  readonly tools: TrustTools;
  readonly isSignature: SignatureCheck;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

type Order = NonNullable<OfferedFiles["order"]>;

/** One answer for each order, or why there is none. */
export type MetadataAnswer =
  | { readonly kind: "decided"; readonly decisions: readonly FinalDecision[] }
  | { readonly kind: "unknown"; readonly reason: string };

/**
 * The trusted metadata of this node: fetched from sources that nobody has to trust, judged by `decide`, stored step by step. A
 * step that was verified counts, also when the next one is refused or the power goes.
 */
export class TrustMetadata {
  /** No time before this is believed, whatever is stored: when this program was written. */
  readonly #programMs: number;
  readonly #deps: TrustMetadataDeps;
  #state: TrustState | undefined;
  #writtenFloorMs = 0;
  /** The hub's attested time less the boot clock, and the root whose key attested it. */
  #attested: { readonly offsetMs: number; readonly root: Uint8Array } | undefined;
  /** Accepted files by role, as of the last look. */
  readonly #roles = new Map<string, RoleSummary>();

  constructor(options: { readonly programMs: number }, deps: TrustMetadataDeps) {
    this.#programMs = options.programMs;
    this.#deps = deps;
  }

  /** Whether the time is known by the hub's word since this start. */
  get isAttested(): boolean {
    return this.#attestedMs() !== undefined;
  }

  /** The best time that is known, milliseconds since 1970: attested, else the last one that was. */
  get knownMs(): number {
    return this.#attestedMs() ?? Math.max(this.#state?.floorMs ?? 0, this.#programMs);
  }

  /** Versions and expiries of what people sign: root, targets and delegated roles. Empty before there is a root. */
  roles(): readonly RoleSummary[] {
    return [...this.#roles.values()].filter(({ role }) => !ONLINE_ROLES.has(role));
  }

  /** Reads what is stored, so that `roles` can tell. Never throws: what is wrong is said when something is decided. */
  open(): void {
    try {
      this.#stored();
    } catch (error) {
      this.#deps.log.error({ error: messageOf(error) }, "the trust root cannot be used");
    }
  }

  /**
   * Decides each order by the newest metadata that a source has; one of `undefined` looks at all of it. Asks the next source when
   * one cannot be reached, and when its metadata is refused: a mirror can be broken or lie. Rejects with the signal's reason only.
   */
  async decide(
    orders: readonly (Order | undefined)[],
    signal: AbortSignal,
  ): Promise<MetadataAnswer> {
    const reasons: string[] = [];
    let refused: MetadataAnswer | undefined;
    try {
      const state = this.#stored() ?? (await this.#firstOfHub(reasons, signal));
      if (state === undefined) return { kind: "unknown", reason: sentenceOf(reasons) };
      for (const source of this.#deps.sources()) {
        const decisions = await this.#decideBy(source, orders, signal).catch(
          (error: unknown) => void reasons.push(this.#reasonOf(source, error, signal)),
        );
        if (decisions === undefined) continue;
        const answer: MetadataAnswer = { kind: "decided", decisions };
        if (!decisions.some(isOfMetadata)) return answer;
        refused ??= answer;
      }
    } catch (error) {
      if (signal.aborted || !(error instanceof CodedError)) throw error;
      reasons.push(`${error.code}: ${error.message}`);
    }
    return refused ?? { kind: "unknown", reason: sentenceOf(reasons) };
  }

  async #decideBy(
    source: ByteSource,
    orders: readonly (Order | undefined)[],
    signal: AbortSignal,
  ): Promise<readonly FinalDecision[]> {
    const metadata: NonNullable<GatherQuestion["metadata"]> = new Map();
    const decisions: FinalDecision[] = [];
    let nowMs: number | undefined;
    const files: MetadataSource = {
      fetch: (file, bytesMax) =>
        this.#fetch(source, { path: `metadata/${file}`, bytesMax }, signal),
    };
    for (const order of orders) {
      const isFirst = decisions.length === 0;
      const decision = await gather(
        {
          stored: this.#base(),
          ...(order === undefined ? {} : { order }),
          nowMs: isFirst
            ? async (state) => (nowMs = await this.#time(state, source, signal))
            : nowMs,
          onState: (state) => this.#keep(state),
          metadata,
        },
        files,
        this.#deps.tools,
      );
      decisions.push(decision);
      if (decision.kind === "accepted")
        for (const role of decision.roles) this.#roles.set(role.role, role);
    }
    this.#show();
    return decisions;
  }

  /** What a decision begins from. */
  #base(): TrustState {
    const state = this.#stored();
    if (state === undefined) throw new Error("a decision without a root");
    return {
      ...state,
      floorMs: Math.max(state.floorMs, this.#programMs),
      installed: this.#deps.store.installed(),
    };
  }

  #keep(next: TrustState): void {
    const before = this.#state;
    const isOther =
      before?.orderRevision !== next.orderRevision || !areSameFiles(before.trusted, next.trusted);
    if (isOther || Math.abs(next.floorMs - this.#writtenFloorMs) >= FLOOR_WRITE_INTERVAL_MS) {
      this.#deps.store.save(next);
      this.#writtenFloorMs = next.floorMs;
    }
    this.#state = next;
  }

  /** The state that is stored, or one begun with the root that lies here. Throws CodedError `trust-root-unusable`. */
  #stored(): TrustState | undefined {
    if (this.#state !== undefined) return this.#state;
    const { store, configuredRoot, tools } = this.#deps;
    const stored = store.load();
    const configured = configuredRoot();
    const root = configured ?? store.firstRoot();
    const isKnown =
      root === undefined ||
      (stored !== undefined &&
        (stored.roots.has(tools.sha256(root)) || isLaterRoot(rootOf(stored.state), root, tools)));
    if (isKnown && stored !== undefined) this.#take(stored.state);
    else if (root !== undefined) this.#begin(root, stored?.state, configured === undefined);
    return this.#state;
  }

  /** Another root by the owner's hand is another trust: versions and counters of the earlier one mean nothing in it. */
  #begin(root: Uint8Array, before: TrustState | undefined, isRemembered: boolean): void {
    const { store, log, tools } = this.#deps;
    const first = firstState(root, Math.max(before?.floorMs ?? 0, this.#programMs), tools);
    if (first.kind === "refused")
      throw new CodedError<TrustRootErrorCode>(
        "trust-root-unusable",
        `the ${isRemembered ? "remembered" : "configured"} root is refused: ${first.message}`,
        {
          fields: { code: first.code },
          mend: "Give this node the 1.root.json of `flotilla trust init`.",
        },
      );
    store.begin(first.state);
    this.#take(first.state);
    const fields = { sha256: tools.sha256(root), version: this.#roles.get("root")?.version };
    if (before === undefined) log.info(fields, "trust begins with this root");
    else log.warn(fields, "trust begins anew: another root was laid here");
  }

  /** Once in a node's life, when nobody has given it a root: the first one that the hub it enrolled with has. */
  async #firstOfHub(reasons: string[], signal: AbortSignal): Promise<TrustState | undefined> {
    for (const source of this.#deps.sources()) {
      try {
        const request = { path: "metadata/1.root.json", bytesMax: ROOT_BYTES_MAX };
        const root = await this.#fetch(source, request, signal);
        if (root !== "absent") {
          this.#begin(root, undefined, false);
          return this.#state;
        }
        reasons.push(`${source.name} has no root`);
      } catch (error) {
        reasons.push(this.#reasonOf(source, error, signal));
      }
    }
    return undefined;
  }

  #take(state: TrustState): void {
    this.#state = state;
    this.#writtenFloorMs = state.floorMs;
    this.#attested = undefined;
    this.#roles.clear();
    for (const [role, bytes] of state.trusted) {
      const summary = summaryOf(role, bytes, this.#deps.tools);
      if (summary !== undefined) this.#roles.set(role, summary);
    }
    this.#show();
  }

  /** Asks for the time by the key that the walked root names; without an answer what was attested before counts on. */
  async #time(
    state: TrustState,
    source: ByteSource,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { clock, random, log, tools, isSignature } = this.#deps;
    const nonce = randomHex(random, TIME_NONCE_BYTES, "trust.nonce");
    const askedMs = clock.bootMs();
    const request = { path: timePathOf(nonce), bytesMax: TIME_ANSWER_BYTES_MAX };
    const answer = await this.#fetch(source, request, signal).catch((error: unknown) => {
      this.#reasonOf(source, error, signal);
      return "absent" as const;
    });
    const root = rootOf(state);
    if (answer !== "absent") {
      const nowBootMs = clock.bootMs();
      const question = {
        nonce,
        root: openMetadata("root", { subject: "trusted root", bytes: root }, tools),
        floorMs: Math.max(state.floorMs, this.#programMs),
        roundTripMs: nowBootMs - askedMs,
      };
      const verdict = judgeTime(answer, question, isSignature);
      if (verdict.kind === "attested")
        this.#attested = { offsetMs: verdict.nowMs - nowBootMs, root };
      else
        log.warn({ source: source.name, reason: verdict.reason }, "the hub's time is not believed");
    }
    return this.#attested?.root === root ? this.#attested.offsetMs + clock.bootMs() : undefined;
  }

  #attestedMs(): number | undefined {
    const { clock } = this.#deps;
    if (this.#attested === undefined || this.#state === undefined) return undefined;
    const isByThisRoot = this.#attested.root === rootOf(this.#state);
    return isByThisRoot ? this.#attested.offsetMs + clock.bootMs() : undefined;
  }

  async #fetch(
    source: ByteSource,
    request: { readonly path: string; readonly bytesMax: number },
    signal: AbortSignal,
  ): Promise<Uint8Array | "absent"> {
    signal.throwIfAborted();
    const limit = new AbortController();
    const done = new AbortController();
    const tooSlow = new CodedError<ByteSourceErrorCode>(
      "source-too-slow",
      `${request.path} did not come within ${METADATA_FETCH_MS_MAX / 1000} s`,
    );
    void this.#deps.clock.sleep(METADATA_FETCH_MS_MAX, done.signal).then(
      () => limit.abort(tooSlow),
      () => undefined,
    );
    try {
      const both = AbortSignal.any([signal, limit.signal]);
      return await source.readWhole({ ...request, signal: both });
    } catch (error) {
      throw limit.signal.aborted && !signal.aborted ? tooSlow : error;
    } finally {
      done.abort();
    }
  }

  /** Why a source gave nothing. Rethrows what is no expected failure, and the abort of whoever asks. */
  #reasonOf(source: ByteSource, error: unknown, signal: AbortSignal): string {
    if (signal.aborted || !(error instanceof CodedError)) throw error;
    this.#deps.log.debug({ source: source.name, code: error.code }, "no metadata from this source");
    return `${source.name}: ${error.code}`;
  }

  #show(): void {
    const { metrics } = this.#deps;
    const expiries = this.roles().map((role) => role.expiresMs);
    metrics.set("flotilla_agent_trust_root_version", this.#roles.get("root")?.version ?? 0);
    metrics.set("flotilla_agent_trust_attested", this.isAttested ? 1 : 0);
    if (expiries.length > 0)
      metrics.set(
        "flotilla_agent_trust_expires_timestamp_seconds",
        Math.floor(Math.min(...expiries) / 1000),
      );
  }
}

/** True for a refusal of metadata: another source may have sound files. One of the order is the same everywhere. */
export function isOfMetadata(decision: { readonly kind: string; readonly code?: string }): boolean {
  return decision.kind === "refused" && METADATA_CODES.test(decision.code ?? "");
}

const METADATA_CODES = /^(?:metadata-|key-|root-|delegations-)/;

function areSameFiles(
  a: ReadonlyMap<string, Uint8Array>,
  b: ReadonlyMap<string, Uint8Array>,
): boolean {
  return a.size === b.size && [...a].every(([role, bytes]) => b.get(role) === bytes);
}

function rootOf(state: TrustState): Uint8Array {
  const root = state.trusted.get("root");
  if (root === undefined) throw new Error("a trust state without a root");
  return root;
}

/** Version and expiry of a stored file; undefined when it cannot be read: then it is fetched anew. */
function summaryOf(role: string, bytes: Uint8Array, tools: TrustTools): RoleSummary | undefined {
  const kind =
    role === "root" || role === "timestamp" || role === "snapshot" ? role : ("targets" as const);
  try {
    const { signed, expiresMs } = openMetadata(kind, { subject: role, bytes }, tools);
    return { role, version: signed.version, expiresMs };
  } catch (error) {
    if (error instanceof TrustError) return undefined;
    throw error;
  }
}

function sentenceOf(reasons: readonly string[]): string {
  return reasons.length === 0 ? "no source of metadata is known" : reasons.join("; ");
}
