import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import { firstState } from "@flotilla/shared/trust/decide";
import { type FinalDecision, gather } from "@flotilla/shared/trust/gather";
import type { SigningTools } from "@flotilla/shared/trust/ports";
import { fileNameOf, type SigningKey } from "@flotilla/shared/trust/publish";
import { TrustError } from "@flotilla/shared/trust/refusal";
import type { RoleSummary, TrustState } from "@flotilla/shared/trust/state";
import { signTime } from "@flotilla/shared/trust/time";
import {
  dueOf,
  newestVersion,
  nextVersion,
  type Publication,
  publicationOf,
  requireOurKey,
  sameBytes,
  signOnline,
  signTimestamp,
  sortUpload,
  stateOf,
  type Upload,
  type VersionedFile,
} from "../../domain/artifact/publish.ts";
import type { MetadataStore } from "./ports.ts";
import type { ExpiryWatch } from "./trust-publisher-alarms.ts";
import { ReleasedTargets } from "./trust-publisher-targets.ts";

/** How often the hub looks whether something has to be signed anew: an hour. */
export const TRUST_LOOK_INTERVAL_MS = 3_600_000;
/** What an upload of metadata led to. */
export interface PublishOutcome {
  /** Names of files that were published, the two that the hub signed among them. Empty: nothing was new. */
  readonly published: readonly string[];
  /** Names of files that changed nothing. */
  readonly skipped: readonly string[];
  readonly roles: readonly RoleSummary[];
}

interface Deps {
  readonly metadata: MetadataStore;
  /** Signs snapshots, timestamps and the time. */
  readonly key: SigningKey;
  readonly tools: SigningTools;
  readonly expiries: Pick<ExpiryWatch, "look">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Publishes trust metadata: takes what offline keys have signed, judges it as a node would, and signs snapshot and timestamp
 * over it. Nothing is published that a node would refuse. As a service it signs the two anew before they expire.
 */
export class TrustPublisher implements Service {
  readonly name = "trust";
  readonly #deps: Deps;
  readonly #listeners = new Set<() => void>();
  #current: Publication | undefined;
  #roles: readonly RoleSummary[] = [];
  #targets: ReleasedTargets | undefined;
  /** A node would take what is published, as of the last look. */
  #isSound = false;
  /** One change at a time. */
  #last: Promise<unknown> = Promise.resolve();

  /** What is published is known from the start: it was judged when it was published. */
  constructor(deps: Deps) {
    this.#deps = deps;
    this.#current = this.#readSound();
    this.#targets = this.#current && new ReleasedTargets(this.#current, deps.tools);
  }

  /** Reads what is published, then looks after it. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await this.#deps.clock.sleep(TRUST_LOOK_INTERVAL_MS, signal).catch(() => {});
    }
    await this.#last.catch(() => {});
  }

  /** Signs anew what is due. Never rejects: what went wrong is logged, counted and tried again. */
  look(): Promise<void> {
    return this.#inTurn(async () => {
      try {
        await this.#renew();
      } catch (error) {
        this.#count("failed");
        this.#noteSound(false);
        this.#deps.log.error(
          { error: messageOf(error) },
          "trust metadata cannot be renewed; nodes install nothing new once it has expired",
        );
      }
      this.#deps.expiries.look(this.#roles);
    });
  }

  /**
   * Publishes what is new in these files, by file name. Rejects with TrustError where a node would refuse it; nothing is
   * published then. Rejects as MetadataStore does when it cannot be written.
   */
  publish(uploaded: ReadonlyMap<string, Uint8Array>): Promise<PublishOutcome> {
    return this.#inTurn(async () => {
      try {
        return await this.#publish(uploaded);
      } catch (error) {
        this.#count(error instanceof TrustError ? "refused" : "failed");
        throw error;
      }
    });
  }

  /** Whether published metadata lists this file with this length and digest. */
  isSigned(path: string, length: number, sha256: string): boolean {
    const entry = this.#targets?.find(path);
    return entry !== undefined && entry.length === length && entry.hashes.sha256 === sha256;
  }

  /** What published metadata says of a target; undefined when no role in charge lists it. */
  target(path: string): ReturnType<ReleasedTargets["find"]> {
    return this.#targets?.find(path);
  }

  /** Versions and expiries of what is published; empty when nothing is. */
  get roles(): readonly RoleSummary[] {
    return this.#roles;
  }

  /** Called after each publication that may have changed what is released. Returns the unsubscriber. */
  onPublished(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The hub's signed word for the time, in answer to a node's nonce. */
  timeAnswer(nonce: string): Uint8Array {
    return signTime(
      { nonce, nowMs: Math.max(0, Math.trunc(this.#deps.clock.wallMs())) },
      this.#deps.key,
    );
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.catch(() => {}).then(work);
    this.#last = turn;
    return turn;
  }

  async #publish(uploaded: ReadonlyMap<string, Uint8Array>): Promise<PublishOutcome> {
    const { metadata, tools } = this.#deps;
    const before = this.#readSound();
    const upload = sortUpload(metadata, before, uploaded);
    if (before !== undefined && upload.roots.size === 0 && upload.roles.size === 0) {
      this.#count("unchanged");
      return { published: [], skipped: upload.skipped, roles: this.#roles };
    }
    const files = this.#signed(before, upload);
    const decision = await this.#judge(before, files);
    if (decision.kind === "refused") throw asError(decision);
    const { trusted } = decision.state;
    for (const [role, { version, bytes }] of upload.roles)
      if (trusted.get(role) !== bytes) throw notDelegated(fileNameOf(role, version));
    await metadata.publish(files);
    this.#take(publicationOf(metadata, tools), decision.roles);
    this.#count("published");
    this.#noteSound(true);
    this.#deps.expiries.look(this.#roles);
    this.#deps.log.info({ files: [...files.keys()] }, "trust metadata published");
    return { published: [...files.keys()], skipped: upload.skipped, roles: decision.roles };
  }

  /** The new files in the order in which they are written, snapshot and timestamp included. */
  #signed(before: Publication | undefined, upload: Upload): ReadonlyMap<string, Uint8Array> {
    const { key, tools, clock } = this.#deps;
    const roles = new Map([...(before?.roles ?? []), ...upload.roles]);
    const newestRoot = this.#newestRoot(upload);
    if (newestRoot === undefined) throw noRoot();
    requireOurKey(newestRoot, key, tools);
    const nowMs = clock.wallMs();
    const online = signOnline(roles, this.#nextVersions(before), { key, nowMs, tools });
    // Roots last but for the timestamp: nodes take a root as soon as it is there, and with it the keys for the timestamp.
    const [snapshot, timestamp] = [...online];
    return new Map([
      ...[...upload.roles].map(([role, f]) => [fileNameOf(role, f.version), f.bytes] as const),
      ...(snapshot === undefined ? [] : [snapshot]),
      ...upload.roots,
      ...(timestamp === undefined ? [] : [timestamp]),
    ]);
  }

  #nextVersions(before: Publication | undefined): { snapshot: number; timestamp: number } {
    const nowMs = this.#deps.clock.wallMs();
    const named = before?.snapshot.signed.version ?? 0;
    const last = Math.max(named, newestVersion(this.#deps.metadata, "snapshot"));
    return {
      snapshot: nextVersion(last, nowMs),
      timestamp: nextVersion(before?.timestamp.signed.version ?? 0, nowMs),
    };
  }

  #newestRoot(upload: Upload): VersionedFile | undefined {
    const added = [...upload.roots].at(-1);
    if (added !== undefined) return { version: Number.parseInt(added[0], 10), bytes: added[1] };
    const version = newestVersion(this.#deps.metadata, "root");
    const bytes = this.#deps.metadata.read(fileNameOf("root", version));
    return bytes === undefined ? undefined : { version, bytes };
  }

  /** What a node decides that has seen everything so far and is offered these files as well. */
  #judge(
    before: Publication | undefined,
    files: ReadonlyMap<string, Uint8Array>,
  ): Promise<FinalDecision> {
    const { metadata, tools, clock } = this.#deps;
    const read = (name: string): Uint8Array | undefined => files.get(name) ?? metadata.read(name);
    const stored = before === undefined ? firstOf(read("1.root.json"), tools) : stateOf(before);
    const source = { fetch: (name: string) => Promise.resolve(read(name) ?? ("absent" as const)) };
    return gather({ stored, nowMs: clock.wallMs() }, source, tools);
  }

  /** Signs anew when half of a life is over, or when a node would not take what is there. */
  async #renew(): Promise<void> {
    const { metadata, key, tools, clock } = this.#deps;
    const before = this.#readCurrent();
    if (before === undefined) return;
    requireOurKey(before.root, key, tools);
    const nowMs = clock.wallMs();
    let due = dueOf(before, nowMs);
    if (due === "nothing" && this.#isKnownSound(before, nowMs)) return;
    const found = await this.#judge(before, new Map());
    if (due === "nothing" && found.kind === "accepted") return this.#settle(before, found);
    if (found.kind === "refused") due = "both";
    const versions = this.#nextVersions(before);
    const { snapshot } = before;
    const by = { key, nowMs, tools };
    const files =
      due === "both"
        ? signOnline(before.roles, versions, by)
        : new Map([
            [
              "timestamp.json",
              signTimestamp(
                { version: snapshot.signed.version, bytes: snapshot.bytes },
                versions.timestamp,
                by,
              ),
            ],
          ]);
    const decision = await this.#judge(before, files);
    await metadata.publish(files);
    this.#count("renewed");
    this.#settle(publicationOf(metadata, tools), decision);
  }

  /** True when this very publication was judged before and nothing of it has expired since. */
  #isKnownSound({ timestamp }: Publication, nowMs: number): boolean {
    const judged = this.#isSound ? this.#current?.timestamp.bytes : undefined;
    return (
      judged !== undefined &&
      sameBytes(judged, timestamp.bytes) &&
      this.#roles.every((r) => r.expiresMs > nowMs)
    );
  }

  /** Notes how what is published stands. */
  #settle(publication: Publication | undefined, decision: FinalDecision): void {
    const isSound = decision.kind === "accepted";
    this.#noteSound(isSound);
    if (!isSound)
      this.#deps.log.error(
        { code: decision.code, file: decision.subject, message: decision.message },
        "nodes refuse the trust metadata that is published; they install nothing new",
      );
    this.#take(publication, isSound ? decision.roles : this.#roles);
  }

  #noteSound(isSound: boolean): void {
    this.#isSound = isSound;
    this.#deps.metrics.set("flotilla_hub_trust_sound", isSound ? 1 : 0);
  }

  #take(publication: Publication | undefined, roles: readonly RoleSummary[]): void {
    const { tools } = this.#deps;
    const [was, is] = [this.#current?.snapshot.bytes, publication?.snapshot.bytes];
    const isOther = was === undefined || is === undefined || !sameBytes(was, is);
    this.#current = publication;
    this.#roles = roles;
    if (!isOther && this.#targets !== undefined) return;
    this.#targets = publication && new ReleasedTargets(publication, tools);
    for (const listener of this.#listeners) listener();
  }

  /** What is published, read again: the disk is the truth. */
  #readCurrent(): Publication | undefined {
    return publicationOf(this.#deps.metadata, this.#deps.tools);
  }

  /** The same, or nothing where a file is damaged: then the whole repository can be published anew. */
  #readSound(): Publication | undefined {
    try {
      return this.#readCurrent();
    } catch (error) {
      if (!(error instanceof TrustError)) throw error;
      this.#deps.log.warn({ error: error.message }, "published trust metadata cannot be read");
      return undefined;
    }
  }

  #count(outcome: "published" | "unchanged" | "refused" | "failed" | "renewed"): void {
    this.#deps.metrics.count("flotilla_hub_trust_publications_total", { outcome });
  }
}

function firstOf(root: Uint8Array | undefined, tools: SigningTools): TrustState {
  if (root === undefined) throw noRoot();
  const first = firstState(root, 0, tools);
  if (first.kind === "refused") throw asError(first);
  return first.state;
}

function asError(refusal: {
  readonly code: TrustError["code"];
  readonly subject: string;
  readonly message: string;
  readonly mend: string;
}): TrustError {
  const { code, subject, message, mend } = refusal;
  // The message of a refusal begins with its subject already.
  return new TrustError(code, { subject, message: message.replace(`${subject}: `, ""), mend });
}

function noRoot(): TrustError {
  return new TrustError("metadata-missing", {
    subject: "1.root.json",
    message: "is neither published nor in this upload",
    mend: "Send the whole folder that `flotilla trust init` has made; nodes begin with its first root.",
  });
}

function notDelegated(subject: string): TrustError {
  return new TrustError("metadata-unsigned", {
    subject,
    message: "no role delegates to it",
    mend: "Delegate to the role in targets first, or leave the file out.",
  });
}
