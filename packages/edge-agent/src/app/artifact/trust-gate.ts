import { CodedError } from "@flotilla/shared/kernel/errors";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { fullJitterMs, type RetrySchedule } from "@flotilla/shared/kernel/retry";
import type { FinalDecision } from "@flotilla/shared/trust/gather";
import { mayRun, receiptOf } from "@flotilla/shared/trust/receipt";
import type { Order, Self, TrustedTarget } from "@flotilla/shared/trust/state";
import {
  type Bundle,
  bundleFault,
  bundlesOf,
  contentKeyOf,
  groupsOf,
  releaseKey,
  type WantedRelease,
  wantedFilesOf,
} from "../../domain/artifact/trust-order.ts";
import type {
  ReportedTrust,
  TrustGate,
  TrustJudgement,
  TrustQuestion,
  TrustVerdict,
} from "./ports.ts";
import { isOfMetadata, type TrustMetadata, type TrustMetadataDeps } from "./trust-metadata.ts";

/** What was accepted is asked about again after this long: an hour. Until its metadata expires it stays accepted when nobody answers. */
export const METADATA_FRESH_MS = 3_600_000;
/** Wait after the n-th try in a row that did not accept everything. Another desired state is tried at once. */
export const TRUST_RETRY: RetrySchedule = { baseMs: 10_000, capMs: 15 * 60_000 };

export interface TrustGateDeps
  extends Pick<TrustMetadataDeps, "store" | "clock" | "random" | "log" | "metrics"> {
  readonly metadata: TrustMetadata;
  readonly self: () => Self;
}

/** What was accepted, and how long that may be taken for true, by the boot clock. */
interface Known {
  readonly install: ReadonlyMap<string, TrustedTarget>;
  readonly freshUntilMs: number;
  readonly expiresMs: number;
}

/** The last try that did not accept everything. */
interface Failure {
  readonly retryAtMs: number;
  readonly verdicts: ReadonlyMap<string, NotAccepted>;
}

type NotAccepted = WithoutRetry<Exclude<TrustVerdict, { readonly kind: "accepted" }>>;
type WithoutRetry<T> = T extends unknown ? Omit<T, "retryAfterMs"> : never;

/** One bundle: what of it is here already by the node's own word, and what trust has to be asked about. */
interface Ask {
  readonly bundle: Bundle;
  readonly settled: readonly TrustedTarget[];
  readonly open: readonly WantedRelease[];
  /** All of `open`, when it was accepted and prepared at an earlier time. */
  readonly prepared: readonly TrustedTarget[] | undefined;
  readonly key: string;
}

/** The gate that everything new goes through. It asks about what is new only: what is installed here is by its receipts. */
export class MetadataTrustGate implements TrustGate {
  readonly #deps: TrustGateDeps;
  readonly #known = new Map<string, Known>();
  #failure: Failure | undefined;
  #failureCount = 0;
  /** While they stand: what is wrong with a bundle, and with metadata as a whole. */
  #bundleRefusal: ReportedTrust["refusal"];
  #metadataRefusal: ReportedTrust["refusal"];
  /** One judgement after the other: they share what is stored. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: TrustGateDeps) {
    this.#deps = deps;
    deps.metadata.open();
  }

  judge(question: TrustQuestion, signal: AbortSignal): Promise<TrustJudgement> {
    return this.#inTurn(() =>
      this.#judge(question, signal).catch((error: unknown) => {
        if (signal.aborted || !(error instanceof CodedError)) throw error;
        return allUnknown(question, `${error.code}: ${error.message}`);
      }),
    );
  }

  /** Looks at all metadata, whether or not anything is wanted: roots are walked and expiries known. False: it could not. */
  refresh(signal: AbortSignal): Promise<boolean> {
    return this.#inTurn(async () => {
      const answer = await this.#deps.metadata.decide([undefined], signal);
      const decision = answer.kind === "decided" ? answer.decisions[0] : undefined;
      this.#count(decision);
      if (decision !== undefined) this.#noteMetadata(decision);
      return decision?.kind === "accepted";
    });
  }

  prepared(targets: readonly TrustedTarget[]): void {
    this.#deps.store.putReceipts(targets, this.#wallMs());
  }

  installed(targets: readonly TrustedTarget[]): void {
    const { store } = this.#deps;
    store.putReceipts(targets, this.#wallMs());
    store.raiseInstalled(targets.filter(({ custom }) => custom.isDelta !== true));
  }

  mayRun(target: string, found: { readonly length: number; readonly sha256: string }): boolean {
    return this.#deps.store
      .receiptsOf(target)
      .some(
        (receipt) => mayRun(receiptOf(receipt.target, receipt.installedAtMs), found).kind === "ok",
      );
  }

  keepReceipts(contents: ReadonlySet<string>): void {
    this.#deps.store.keepReceipts(contents);
  }

  report(): ReportedTrust | undefined {
    const { metadata } = this.#deps;
    const roles = metadata.roles();
    const root = roles.find(({ role }) => role === "root");
    if (root === undefined) return undefined;
    const refusal = this.#bundleRefusal ?? this.#metadataRefusal;
    const expiresMs = Math.min(...roles.map((role) => role.expiresMs));
    return {
      rootVersion: root.version,
      expiresAt: isoTime(expiresMs),
      isAttested: metadata.isAttested,
      ...(refusal === undefined ? {} : { refusal }),
    };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #judge(question: TrustQuestion, signal: AbortSignal): Promise<TrustJudgement> {
    const instances = new Map<string, TrustVerdict>();
    const prestaged = new Map<string, TrustVerdict>();
    const asks = bundlesOf(question.state).map((bundle) => this.#askOf(bundle, question));
    const open = new Map(asks.flatMap((a) => (a.open.length === 0 ? [] : [[a.key, a.open]])));
    const verdicts = await this.#verdictsOf(open, question.state.revision, signal);
    for (const ask of asks) {
      const verdict = verdictOf(ask, verdicts.get(ask.key));
      const { instanceId, releases } = ask.bundle;
      if (instanceId !== undefined) instances.set(instanceId, verdict);
      else for (const release of releases) prestaged.set(releaseKey(release), verdict);
    }
    const refused = [...instances.values(), ...prestaged.values()].find(isRefused);
    this.#bundleRefusal = refused === undefined ? undefined : reportedRefusal(refused);
    return { instances, prestaged };
  }

  #askOf(bundle: Bundle, { active }: TrustQuestion): Ask {
    const has = bundle.instanceId === undefined ? new Set<string>() : active(bundle.instanceId);
    const settled: TrustedTarget[] = [];
    const prepared: TrustedTarget[] = [];
    const open: WantedRelease[] = [];
    let isAllPrepared = true;
    for (const release of bundle.releases) {
      const held = this.#heldWhole(release);
      if (held !== undefined && this.#isSettled(held, has)) settled.push(...held);
      else {
        open.push(release);
        prepared.push(...(held ?? []));
        isAllPrepared &&= held !== undefined;
      }
    }
    const key = contentKeyOf(open);
    return { bundle, settled, open, prepared: isAllPrepared ? prepared : undefined, key };
  }

  /** The receipts of a release, when each of its files has one and it is not wanted in part. */
  #heldWhole(release: WantedRelease): readonly TrustedTarget[] | undefined {
    const { store } = this.#deps;
    const held = release.files.flatMap(({ target, sha256, length }) =>
      store
        .receiptsOf(target)
        .map((receipt) => receipt.target)
        .filter((found) => found.sha256 === sha256 && found.length === length),
    );
    const [first] = held;
    if (first === undefined || held.length !== release.files.length) return undefined;
    const { artifact, releaseCounter } = first.custom;
    const wanted = new Set(held.map((target) => target.path));
    const isOne = held.every(
      ({ custom }) => custom.artifact === artifact && custom.releaseCounter === releaseCounter,
    );
    const isWhole = store.pathsOf(artifact, releaseCounter).every((path) => wanted.has(path));
    return isOne && isWhole ? held : undefined;
  }

  /**
   * Nothing new: the instance has it, or it is the newest release that this node ever installed. What is older is asked about,
   * since going back takes a rule; so is what was prepared and never installed, since it may have been withdrawn.
   */
  #isSettled(held: readonly TrustedTarget[], has: ReadonlySet<string>): boolean {
    if (held.every(({ path }) => has.has(path))) return true;
    const installed = this.#deps.store.installed();
    return held.every(
      ({ custom }) => installed.get(custom.artifact)?.releaseCounter === custom.releaseCounter,
    );
  }

  /** By key, for everything that is asked. */
  async #verdictsOf(
    open: ReadonlyMap<string, readonly WantedRelease[]>,
    revision: number,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, TrustVerdict>> {
    const { clock } = this.#deps;
    for (const key of this.#known.keys()) if (!open.has(key)) this.#known.delete(key);
    const due = new Map(
      [...open].filter(([key]) => clock.bootMs() >= (this.#known.get(key)?.freshUntilMs ?? 0)),
    );
    if (due.size > 0 && !this.#isTooSoon(due)) await this.#ask(due, revision, signal);
    const nowMs = clock.bootMs();
    const retryAfterMs = Math.max(0, (this.#failure?.retryAtMs ?? 0) - nowMs);
    return new Map(
      [...open.keys()].map((key): readonly [string, TrustVerdict] => {
        const known = this.#known.get(key);
        if (known !== undefined && nowMs < known.expiresMs)
          return [key, { kind: "accepted", install: known.install }];
        const failed = this.#failure?.verdicts.get(key);
        return [key, { ...(failed ?? UNANSWERED), retryAfterMs }];
      }),
    );
  }

  #isTooSoon(due: ReadonlyMap<string, unknown>): boolean {
    const failure = this.#failure;
    if (failure === undefined || this.#deps.clock.bootMs() >= failure.retryAtMs) return false;
    return [...due.keys()].every((key) => failure.verdicts.has(key));
  }

  async #ask(
    due: ReadonlyMap<string, readonly WantedRelease[]>,
    revision: number,
    signal: AbortSignal,
  ): Promise<void> {
    const failed = new Map<string, NotAccepted>();
    const groups = groupsOf([...due.values()]);
    let singles: (readonly WantedRelease[])[] = [];
    const merged = await this.#decide(
      groups.map((g) => g.flat()),
      revision,
      signal,
    );
    for (const [i, members] of groups.entries()) {
      const decision = merged[i];
      const isWorthSplitting =
        members.length > 1 && decision?.kind === "refused" && !isOfMetadata(decision);
      if (isWorthSplitting) singles = [...singles, ...members];
      else for (const member of members) this.#learn(member, decision, failed);
    }
    const split = singles.length === 0 ? [] : await this.#decide(singles, revision, signal);
    for (const [i, member] of singles.entries()) this.#learn(member, split[i], failed);
    this.#failureCount = failed.size === 0 ? 0 : this.#failureCount + 1;
    this.#failure =
      failed.size === 0 ? undefined : { retryAtMs: this.#retryAtMs(), verdicts: failed };
  }

  async #decide(
    asked: readonly (readonly WantedRelease[])[],
    revision: number,
    signal: AbortSignal,
  ): Promise<readonly (FinalDecision | NotAccepted)[]> {
    const { metadata, self } = this.#deps;
    const me = self();
    const orders = asked.map((releases) => {
      const wanted: Order = { nodeId: me.nodeId, revision, files: wantedFilesOf(releases) };
      return { wanted, self: me };
    });
    const answer = await metadata.decide(orders, signal);
    return answer.kind === "decided" ? answer.decisions : asked.map(() => answer);
  }

  #learn(
    releases: readonly WantedRelease[],
    decision: FinalDecision | NotAccepted | undefined,
    failed: Map<string, NotAccepted>,
  ): void {
    const key = contentKeyOf(releases);
    this.#count(decision);
    if (decision?.kind === "accepted") {
      this.#metadataRefusal = undefined;
      const paths = new Set(wantedFilesOf(releases).map((file) => file.path));
      const install = decision.install.filter(({ path }) => paths.has(path));
      const nowMs = this.#deps.clock.bootMs();
      const lastsMs =
        Math.min(...decision.roles.map((role) => role.expiresMs)) - decision.state.floorMs;
      this.#known.set(key, {
        install: new Map(install.map((target) => [target.path, target])),
        freshUntilMs: nowMs + METADATA_FRESH_MS,
        expiresMs: nowMs + lastsMs,
      });
      return;
    }
    if (decision?.kind === "refused") {
      const { code, subject, mend } = decision;
      const message = withoutSubject(decision);
      this.#known.delete(key);
      failed.set(key, { kind: "refused", code, subject, message, mend });
      this.#deps.log.warn({ code, subject, reason: message, mend }, "not trusted, not installed");
    } else failed.set(key, decision ?? UNANSWERED);
  }

  #retryAtMs(): number {
    const { clock, random } = this.#deps;
    const waitMs = fullJitterMs(TRUST_RETRY, this.#failureCount - 1, random);
    return clock.bootMs() + Math.max(TRUST_RETRY.baseMs / 2, waitMs);
  }

  #noteMetadata(decision: FinalDecision): void {
    if (decision.kind === "accepted") this.#metadataRefusal = undefined;
    else if (isOfMetadata(decision)) this.#metadataRefusal = reportedRefusal(decision);
  }

  #count(decision: { readonly kind: string; readonly code?: string } | undefined): void {
    const outcome = decision?.code ?? decision?.kind ?? "unknown";
    this.#deps.metrics.count("flotilla_agent_trust_decisions_total", { outcome });
  }

  #wallMs(): number {
    return Math.max(0, Math.trunc(this.#deps.clock.wallMs()));
  }
}

const UNANSWERED: NotAccepted = { kind: "unknown", reason: "no source of metadata has answered" };
/** As the report's schema says. */
const REPORTED_TEXT_LENGTH_MAX = 512;

/** The verdict over a whole bundle: what is settled and what was asked, together. */
function verdictOf(ask: Ask, asked: TrustVerdict | undefined): TrustVerdict {
  const { settled, open, prepared, bundle } = ask;
  const install = new Map(settled.map((target) => [target.path, target]));
  if (open.length > 0) {
    const isHeld = asked?.kind !== "refused" && prepared !== undefined;
    if (asked?.kind === "accepted") for (const [path, t] of asked.install) install.set(path, t);
    else if (isHeld) for (const target of prepared) install.set(target.path, target);
    else return asked ?? { ...UNANSWERED, retryAfterMs: TRUST_RETRY.baseMs };
  }
  const fault = bundleFault(bundle.releases, install);
  if (fault === undefined) return { kind: "accepted", install };
  return { kind: "refused", ...fault, retryAfterMs: TRUST_RETRY.capMs };
}

function isRefused(verdict: TrustVerdict): verdict is TrustVerdict & { readonly kind: "refused" } {
  return verdict.kind === "refused";
}

function reportedRefusal(
  refusal: NonNullable<ReportedTrust["refusal"]>,
): NonNullable<ReportedTrust["refusal"]> {
  const { code, subject } = refusal;
  return {
    code,
    subject: subject.slice(0, REPORTED_TEXT_LENGTH_MAX),
    message: withoutSubject(refusal).slice(0, REPORTED_TEXT_LENGTH_MAX),
  };
}

/** A refusal's message begins with its subject; whoever shows a verdict puts the two together. */
function withoutSubject({
  subject,
  message,
}: {
  readonly subject: string;
  readonly message: string;
}): string {
  return message.startsWith(`${subject}: `) ? message.slice(subject.length + 2) : message;
}

function allUnknown({ state }: TrustQuestion, reason: string): TrustJudgement {
  const verdict: TrustVerdict = { kind: "unknown", reason, retryAfterMs: TRUST_RETRY.baseMs };
  const ids = state.instances.flatMap(({ id, artifacts }) => (artifacts === undefined ? [] : [id]));
  return {
    instances: new Map(ids.map((id) => [id, verdict])),
    prestaged: new Map((state.prestage ?? []).map((release) => [releaseKey(release), verdict])),
  };
}
