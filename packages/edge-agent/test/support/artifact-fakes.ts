import { createHash } from "node:crypto";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { PrestagedRelease } from "@flotilla/shared/model/artifact";
import type { CrashFiles } from "@flotilla/shared/testing/crash-files";
import type { ManualClock } from "@flotilla/shared/testing/manual-clock";
import type { TrustedTarget } from "@flotilla/shared/trust/state";
import type { FileBlobs } from "../../src/adapters/artifact-store/file-blobs.ts";
import type {
  BlobFetcher,
  TrustGate,
  TrustQuestion,
  TrustVerdict,
} from "../../src/app/artifact/ports.ts";
import type { StartOutcome, StartRequest } from "../../src/app/reconcile/ports.ts";
import { releaseKey } from "../../src/domain/artifact/trust-order.ts";
import { FakeRuntime } from "./fake-runtime.ts";

/** Bytes of a version of an artifact. */
export function bytesOf(name: string, counter: number): Uint8Array {
  return new TextEncoder().encode(`${name} ${counter}\n`.repeat(8));
}

/** A release of one file. */
export function release(name: string, counter: number): PrestagedRelease {
  const bytes = bytesOf(name, counter);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const target = `models/${name}/${counter}/model.bin`;
  const version = `${counter}.0.0`;
  return {
    name,
    version,
    counter,
    files: [{ path: "model.bin", target, length: bytes.length, sha256 }],
  };
}

/** Programs do as the files say that they are started with: `crash` ends at once. */
export class WatchedRuntime extends FakeRuntime {
  readonly #onStart: (request: StartRequest) => void;
  /** True: what is started ends at once with code 1. */
  crashes: (instanceId: string) => boolean = () => false;

  constructor(clock: ManualClock, onStart: (request: StartRequest) => void) {
    super({ bootMs: () => clock.bootMs() });
    this.#onStart = onStart;
  }

  override start(request: StartRequest): StartOutcome {
    this.#onStart(request);
    const container = this.crashes(request.instanceId)
      ? { ...request.container, command: ["exit", "1"] }
      : request.container;
    return super.start({ ...request, container });
  }
}

/** Sources of bytes that answer, or do not, as the test says. */
export class FakeSources implements BlobFetcher {
  isOnline = true;
  /** What a fetch fails with; undefined: it does not. */
  failure: () => Error | undefined = () => undefined;
  readonly fetched: {
    readonly target: string;
    readonly isUrgent: boolean;
    readonly bases: number;
  }[] = [];
  readonly #blobs: () => FileBlobs;
  readonly #disk: CrashFiles;

  constructor(blobs: () => FileBlobs, disk: CrashFiles) {
    this.#blobs = blobs;
    this.#disk = disk;
  }

  async fetch(...[target, options]: Parameters<BlobFetcher["fetch"]>) {
    await Promise.resolve();
    options.signal.throwIfAborted();
    const [, name = "", counter = ""] = target.path.split("/");
    if (!this.isOnline) throw new CodedError("source-unreachable", "no way to the hub");
    const failure = this.failure();
    if (failure !== undefined) throw failure;
    const blobs = this.#blobs();
    const bytes = bytesOf(name, Number(counter));
    const part = blobs.partPathOf(target.sha256);
    if (this.#disk.lookUp(part) !== undefined) blobs.removePart(target.sha256);
    const fd = this.#disk.open(part, "create");
    this.#disk.write(fd, bytes, 0);
    this.#disk.close(fd);
    options.onProgress(bytes.length, bytes.length);
    await blobs.complete(target.sha256, target.length);
    const { bases, isUrgent } = options;
    this.fetched.push({ target: target.path, isUrgent, bases: bases.length });
    return { transferredBytes: bytes.length };
  }
}

/** Signs everything that the test does not refuse; what it has accepted it knows for ever. */
export class FakeTrust implements TrustGate {
  isOnline = true;
  /** Targets that nobody signed. */
  readonly refused = new Set<string>();
  readonly installedTargets: string[] = [];
  readonly #accepted = new Set<string>();
  readonly #receipts = new Set<string>();

  isSigned(target: string): boolean {
    return this.#accepted.has(target);
  }

  async judge({ state }: TrustQuestion) {
    await Promise.resolve();
    const instances = state.instances.flatMap(({ artifacts, id }) =>
      artifacts === undefined ? [] : [[id, this.#verdict(artifacts)] as const],
    );
    const prestaged = (state.prestage ?? []).map(
      (r) => [releaseKey(r), this.#verdict([r])] as const,
    );
    return { instances: new Map(instances), prestaged: new Map(prestaged) };
  }

  prepared(targets: readonly TrustedTarget[]): void {
    for (const { path, sha256 } of targets) this.#receipts.add(`${path} ${sha256}`);
  }

  installed(targets: readonly TrustedTarget[]): void {
    for (const { path } of targets) this.installedTargets.push(path);
  }

  mayRun(target: string, { sha256 }: { readonly sha256: string }): boolean {
    return this.#receipts.has(`${target} ${sha256}`);
  }

  keepReceipts(): void {}

  report() {
    return undefined;
  }

  #verdict(releases: readonly PrestagedRelease[]): TrustVerdict {
    if (!this.isOnline) return { kind: "unknown", reason: "no hub", retryAfterMs: 1_000 };
    const files = releases.flatMap((r) => r.files.map((file) => ({ file, release: r })));
    const bad = files.find(({ file }) => this.refused.has(file.target));
    if (bad !== undefined)
      return {
        kind: "refused",
        code: "target-unknown",
        subject: bad.file.target,
        message: "nobody signed it",
        mend: "Sign it.",
        retryAfterMs: 5_000,
      };
    const install = files.map(({ file, release: r }): [string, TrustedTarget] => {
      this.#accepted.add(file.target);
      const custom = { artifact: r.name, releaseCounter: r.counter };
      const versions = { role: "releases", rootVersion: 1, targetsVersion: 1 };
      const { length, sha256, target: path } = file;
      return [path, { path, length, sha256, custom, ...versions }];
    });
    return { kind: "accepted", install: new Map(install) };
  }
}
