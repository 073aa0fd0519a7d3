import { must } from "@flotilla/shared/kernel/assert";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { DesiredArtifact, PrestagedRelease } from "@flotilla/shared/model/artifact";
import type { DesiredInstance, DesiredState } from "@flotilla/shared/model/desired-state";
import { isSignature } from "@flotilla/shared/platform/ed25519";
import { tufTools } from "@flotilla/shared/platform/tuf";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { LAB_START_MS } from "@flotilla/shared/testing/trust-lab";
import { namedKey, releaseOf, TufRepository } from "@flotilla/shared/testing/tuf-repository";
import type { TrustedTarget } from "@flotilla/shared/trust/state";
import { nonceOfTimePath, signTime } from "@flotilla/shared/trust/time";
import type { SqliteAgentStore } from "../../src/adapters/store/sqlite-agent-store.ts";
import { TrustTable } from "../../src/adapters/store/trust-table.ts";
import type {
  ByteSource,
  ByteSourceErrorCode,
  TrustStore,
  TrustVerdict,
} from "../../src/app/artifact/ports.ts";
import { MetadataTrustGate } from "../../src/app/artifact/trust-gate.ts";
import { TrustMetadata } from "../../src/app/artifact/trust-metadata.ts";
import { desiredState } from "./desired.ts";
import { memoryAgentStore } from "./memory-agent-store.ts";

const TOOLS = tufTools();
export const DAY_MS = 86_400_000;

/** A source over a repository: what it answers can be altered, and it can be out of reach. */
export class RepositorySource implements ByteSource {
  readonly name: string;
  readonly asked: string[] = [];
  readonly altered = new Map<string, Uint8Array | "absent">();
  isReachable = true;
  /** What the hub says the time is; undefined: it does not say. */
  timeMs: (() => number) | undefined;
  /** Signs the time; default: the timestamp role's key. */
  timeKey = "timestamp-a";
  readonly #repository: TufRepository;

  constructor(name: string, repository: TufRepository) {
    this.name = name;
    this.#repository = repository;
    this.timeMs = () => repository.nowMs;
  }

  readWhole({ path }: { readonly path: string }): Promise<Uint8Array | "absent"> {
    this.asked.push(path);
    if (!this.isReachable)
      return Promise.reject(new CodedError<ByteSourceErrorCode>("source-unreachable", "no way"));
    const nonce = nonceOfTimePath(path);
    if (nonce !== undefined) {
      const key = namedKey(this.timeKey, TOOLS);
      const nowMs = this.timeMs?.();
      return Promise.resolve(nowMs === undefined ? "absent" : signTime({ nonce, nowMs }, key));
    }
    const file = path.replace(/^metadata\//, "");
    return Promise.resolve(this.altered.get(file) ?? this.#repository.files.get(file));
  }

  read(): Promise<Uint8Array> {
    return Promise.reject(new CodedError<ByteSourceErrorCode>("source-absent", "metadata only"));
  }

  /** What was asked for since the last call; nonces are left out. */
  takeAsked(): readonly string[] {
    return this.asked.splice(0).map((path) => path.replace(/^time\/.*/, "time"));
  }
}

export interface TrustWorldOptions {
  readonly store?: SqliteAgentStore;
  readonly rootPath?: string;
  readonly repository?: TufRepository;
  readonly configuredRoot?: () => Uint8Array | undefined;
  readonly clock?: ManualClock;
  /** Stands between the gate and its table. */
  readonly wrap?: (table: TrustStore) => TrustStore;
  readonly hardwareId?: string;
}

/** A repository with releases 1 and 2 of `detector`, a hub and a link as sources, and a node's gate over its real table. */
export class TrustWorld {
  readonly repository: TufRepository;
  readonly clock: ManualClock;
  readonly hub: RepositorySource;
  readonly link: RepositorySource;
  readonly metrics = new RecordingMetrics();
  readonly log = new RecordingLog();
  readonly store: SqliteAgentStore;
  readonly table: TrustStore;
  readonly metadata: TrustMetadata;
  readonly gate: MetadataTrustGate;
  readonly active = new Map<string, ReadonlySet<string>>();
  revision = 1;

  constructor(options: TrustWorldOptions = {}) {
    this.repository = options.repository ?? newRepository();
    this.clock = options.clock ?? new ManualClock({ wallMs: 0 });
    this.hub = new RepositorySource("hub", this.repository);
    this.link = new RepositorySource("link", this.repository);
    this.store = options.store ?? memoryAgentStore();
    const table = new TrustTable({ rootPath: options.rootPath }, { store: this.store });
    this.table = options.wrap?.(table) ?? table;
    const platform = {
      clock: this.clock,
      random: new SeededRandom(1),
      log: this.log,
      metrics: this.metrics,
      store: this.table,
    };
    this.metadata = new TrustMetadata(
      { programMs: LAB_START_MS - DAY_MS },
      {
        ...platform,
        sources: () => [this.hub, this.link],
        configuredRoot: options.configuredRoot ?? (() => undefined),
        tools: TOOLS,
        isSignature,
      },
    );
    const self = { nodeId: "press-1", hardwareId: options.hardwareId ?? "orin" };
    this.gate = new MetadataTrustGate({
      ...platform,
      metadata: this.metadata,
      self: () => self,
    });
  }

  /** Days go by at the hub and on the node. */
  async pass(days: number): Promise<void> {
    this.repository.nowMs += days * DAY_MS;
    await this.clock.advance(days * DAY_MS);
  }

  /** Verdicts on a state of these instances and prestaged releases. */
  async judge(
    instances: Readonly<Record<string, readonly DesiredArtifact[]>>,
    prestage: readonly PrestagedRelease[] = [],
  ): Promise<Readonly<Record<string, TrustVerdict>>> {
    const state = stateOf(instances, { revision: this.revision, prestage });
    const none = new Set<string>();
    const judgement = await this.gate.judge(
      { state, active: (id) => this.active.get(id) ?? none },
      new AbortController().signal,
    );
    return Object.fromEntries([...judgement.instances, ...judgement.prestaged]);
  }

  /** Judges one instance and installs what may be. */
  async install(id: string, artifacts: readonly DesiredArtifact[]): Promise<TrustVerdict> {
    this.revision += 1;
    const verdict = must((await this.judge({ [id]: artifacts }))[id], "a verdict");
    if (verdict.kind === "accepted") {
      this.store.transaction(() => this.gate.installed([...verdict.install.values()]));
      this.active.set(id, new Set(verdict.install.keys()));
    }
    return verdict;
  }

  /** A release as the hub wants it on a node. */
  release(counter: number, name = "detector"): DesiredArtifact {
    return artifactOf(this.repository, name, counter);
  }
}

export function newRepository(): TufRepository {
  const repository = new TufRepository({ nowMs: LAB_START_MS }, { tools: TOOLS });
  repository.release(releaseOf("detector", 1));
  repository.release(releaseOf("detector", 2));
  repository.publish();
  return repository;
}

function artifactOf(repository: TufRepository, name: string, counter: number): DesiredArtifact {
  const files = releaseOf(name, counter).map(({ path }) => {
    const { length, sha256 } = repository.wanted(path);
    return { path: path.split("/").slice(3).join("/"), target: path, length, sha256 };
  });
  return {
    name,
    version: `${counter}.0.0`,
    counter,
    files,
    path: name,
    reload: "restart",
    healthWindowMs: 0,
  };
}

export function stateOf(
  instances: Readonly<Record<string, readonly DesiredArtifact[]>>,
  over: { readonly revision: number; readonly prestage?: readonly PrestagedRelease[] },
): DesiredState {
  const { prestage = [], revision } = over;
  const [like] = desiredState().instances;
  const made = Object.entries(instances).map(
    ([id, artifacts]): DesiredInstance => ({
      ...must(like, "an instance"),
      id,
      artifacts: [...artifacts],
    }),
  );
  return {
    ...desiredState({ nodeId: "press-1", revision, instances: made }),
    ...(prestage.length === 0 ? {} : { prestage: [...prestage] }),
  };
}

/** How a verdict ends: its kind, or the code of the refusal. */
export function endOf(verdict: TrustVerdict | undefined): string {
  if (verdict === undefined) return "none";
  return verdict.kind === "refused" ? verdict.code : verdict.kind;
}

export function targetsOf(verdict: TrustVerdict | undefined): readonly TrustedTarget[] {
  return verdict?.kind === "accepted" ? [...verdict.install.values()] : [];
}
