import { createHash } from "node:crypto";
import {
  type DeltaBlock,
  type DeltaManifest,
  readManifest,
  writeManifest,
} from "@flotilla/shared/delta/envelope";
import { must } from "@flotilla/shared/kernel/assert";
import { applyDelta } from "@flotilla/shared/platform/delta/apply";
import { nodeDigests } from "@flotilla/shared/platform/delta/node-compressor";
import type { ArtifactOffer } from "@flotilla/shared/protocol/down/artifact-offer";
import type { Fault, Operation, Survival } from "@flotilla/shared/testing/crash-files";
import type { FileBlobs } from "../../src/adapters/artifact-store/file-blobs.ts";
import type { SqliteAgentStore } from "../../src/adapters/store/sqlite-agent-store.ts";
import { SqliteTransferTable } from "../../src/adapters/store/transfer-table.ts";
import type { ArtifactLink, BlobFetcher, PatchWorker } from "../../src/app/artifact/ports.ts";
import { ArtifactDelivery } from "../../src/app/delivery/delivery.ts";
import { HubRoute } from "../../src/app/delivery/hub-route.ts";
import type { RangeSource } from "../../src/app/delivery/ports.ts";
import { bytesOf, release } from "./artifact-fakes.ts";
import { ArtifactNode, pin } from "./artifact-node.ts";
import { instance } from "./reconcile-builders.ts";

const ID = "shop.vision.detector-0";
const NAME = "detector";
/** A version that ends at once. */
const CRASHING = 3;
/** Bytes of a version's text that all of them begin with. */
const COMMON_BYTES = 9;
/** Longest that a stage takes, with a boot in between. */
const PASSES_MAX = 150;
const PASS_MS = 1_000;

function hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A delta in blocks of a few bytes: the begin is copied from the base, if there is one. */
function delta(base: Uint8Array | undefined, target: Uint8Array) {
  const cuts = [0, COMMON_BYTES, 50, target.length];
  const blocks = cuts.slice(1).map((end, i): DeltaBlock & { readonly bytes: Uint8Array } => {
    const part = target.subarray(cuts[i], end);
    const isCopy = base !== undefined && i === 0;
    const bytes = isCopy ? new Uint8Array(0) : part;
    return {
      codec: isCopy ? "copy" : "stored",
      targetLength: part.length,
      payloadLength: bytes.length,
      payloadSha256: nodeDigests.sha256(bytes),
      targetSha256: nodeDigests.sha256(part),
      ranges: isCopy ? [{ offset: 0, length: part.length }] : [],
      bytes,
    };
  });
  const identity = (of: Uint8Array) => ({ size: of.length, sha256: nodeDigests.sha256(of) });
  const manifest: DeltaManifest = {
    base: base && identity(base),
    target: identity(target),
    map: undefined,
    blocks,
  };
  return { manifest: writeManifest(manifest), payload: Buffer.concat(blocks.map((b) => b.bytes)) };
}

/** The hub, as far as bytes go: an offer for each version, a delta where the node has a version before it. */
class HubOfBytes implements ArtifactLink {
  readonly #contents = new Map<string, Uint8Array>();
  readonly #payloads = new Map<string, Uint8Array>();

  constructor() {
    for (const counter of [1, 2, CRASHING]) {
      const bytes = bytesOf(NAME, counter);
      this.#contents.set(hex(bytes), bytes);
    }
  }

  offer(request: Parameters<ArtifactLink["offer"]>[0]): Promise<ArtifactOffer> {
    const target = must(this.#contents.get(request.target), "the hub has every version");
    const base = request.bases.find((sha256) => this.#contents.has(sha256));
    const made = delta(base === undefined ? undefined : this.#contents.get(base), target);
    const manifestSha256 = hex(made.manifest);
    this.#payloads.set(`payloads/${manifestSha256}`, made.payload);
    const step = {
      makes: request.target,
      ...(base === undefined ? {} : { base }),
      manifestSha256,
      manifestLength: made.manifest.length,
      manifest: Buffer.from(made.manifest).toString("base64"),
      signature: "s".repeat(88),
      keyId: "k".repeat(16),
      payloadLength: made.payload.length,
    };
    return Promise.resolve({ target: request.target, status: "ready", steps: [step] });
  }

  readonly source: RangeSource = {
    name: "hub",
    rangeBytesMax: 1_000_000,
    rangesAtATime: 1,
    read: ({ path, offset, length }) => {
      const payload = must(this.#payloads.get(path), "it was offered");
      return Promise.resolve(payload.subarray(offset, offset + length));
    },
    readWhole: () => Promise.resolve("absent"),
  };
}

/** What the node has to go through: two versions come, and a third that fails, so that the second is back. */
const STAGES: readonly { readonly wanted: number; readonly ends: number }[] = [
  { wanted: 1, ends: 1 },
  { wanted: 2, ends: 2 },
  { wanted: CRASHING, ends: 2 },
];

/**
 * The agent's own delivery, activation and reconciler over contents and slots on a disk that can be cut and fail at every operation:
 * downloads in blocks, deltas, slots, switch, health window, commit and going back.
 */
export class PowerNode extends ArtifactNode {
  #stage = 0;
  #isWanted = false;

  constructor() {
    super();
    this.runtime.crashes = (id) => this.activeCounter(id) === CRASHING;
    this.runtime.beforeDeed = () => this.disk.around("process", () => undefined);
    this.disk.arm();
  }

  get isFinished(): boolean {
    return this.#stage === STAGES.length;
  }

  /** Goes through the stages from where it is, until all are done or the power is off. */
  async live(): Promise<void> {
    for (let passes = 0; passes < PASSES_MAX && !this.isFinished && !this.disk.isOff; ) {
      const stage = must(STAGES[this.#stage], "not all are done");
      if (!this.#isWanted) this.#want(stage.wanted);
      if (this.#isDone(stage)) {
        this.#stage++;
        this.#isWanted = false;
        passes = 0;
        continue;
      }
      passes++;
      try {
        await this.passes(1, PASS_MS);
      } catch (error) {
        if (!this.disk.isOff) throw error;
      }
    }
  }

  /** Lives until the fault. */
  async until(fault: Fault): Promise<readonly Operation[]> {
    this.disk.arm(fault);
    await this.live();
    return this.disk.operations;
  }

  /** The power is back: what is wrong with what lies there, before any agent runs. */
  async powerOn(survival: Survival): Promise<readonly string[]> {
    // A disk that is on, and failing, is cut as well.
    const beforeDeed = this.runtime.beforeDeed;
    this.runtime.beforeDeed = () => undefined;
    await this.reboot(survival);
    this.runtime.beforeDeed = beforeDeed;
    return this.wrongs();
  }

  /** What is wrong with what `current` leads to. */
  wrongs(): readonly string[] {
    const wrong = [...this.violations, ...this.runtime.violations];
    const allowed = STAGES.slice(Math.max(0, this.#stage - 1), this.#stage + 1).flatMap((s) => [
      s.wanted,
      s.ends,
    ]);
    const found = this.#currentSha256();
    const isWhole = allowed.some((n) => release(NAME, n).files[0]?.sha256 === found);
    if (this.#stage > 0 && !isWhole)
      wrong.push(`current has ${found}, allowed are ${allowed.join()}`);
    return wrong;
  }

  protected override fetcherOf(
    blobs: FileBlobs,
    store: Pick<SqliteAgentStore, "transaction" | "database">,
  ): BlobFetcher {
    const { clock, log, metrics, random, disk: files } = this;
    const hub = new HubOfBytes();
    const common = { clock, log, metrics, random };
    const patches: PatchWorker = {
      apply: ({ manifest, readPayload, onBlock, basePath, targetPath, firstBlock }, signal) =>
        applyDelta(
          { manifest: readManifest(manifest), basePath, targetPath, firstBlock, files, signal },
          { read: readPayload },
          onBlock,
        ),
    };
    const sources = {
      hub: () => hub.source,
      peer: () => {
        throw new Error("this site has one node");
      },
    };
    return new ArtifactDelivery(
      { ownNode: "n1", memoryBytes: 64 * 1024 * 1024, keepsPayloads: false },
      {
        ...common,
        link: hub,
        route: new HubRoute({
          ...common,
          sources,
          link: hub.source,
          server: () => "https://hub",
          onFallback: () => undefined,
        }),
        sources,
        shelf: {
          manifest: () => Promise.resolve(undefined),
          keepManifest: () => Promise.resolve(),
          open: () => Promise.resolve(undefined),
          release: () => Promise.resolve(0),
        },
        blobs,
        patches,
        transfers: new SqliteTransferTable({ store }),
        verifier: { verifyManifest: () => true },
        digests: nodeDigests,
        calendar: { rule: () => undefined },
        delivery: () => undefined,
        onStruck: () => undefined,
      },
    );
  }

  #want(counter: number): void {
    this.#isWanted = true;
    const artifacts = [pin(NAME, counter)];
    this.want([instance(ID, ["serve"], { artifacts, specDigest: `v${counter}` })]);
  }

  #isDone({ wanted, ends }: (typeof STAGES)[number]): boolean {
    const slots = this.slots(ID);
    return (
      slots?.phase === "committed" &&
      this.activeCounter(ID) === ends &&
      (wanted === ends || slots.failed.length > 0) &&
      this.reported(ID)?.phase === "Running"
    );
  }

  #currentSha256(): string {
    try {
      return this.disk.observe(() => {
        const fd = this.disk.open(`/state/artifacts/slots/${ID}/current/${NAME}/model.bin`, "read");
        const bytes = new Uint8Array(1_024);
        const count = this.disk.read(fd, bytes, 0);
        this.disk.close(fd);
        return hex(bytes.subarray(0, count));
      });
    } catch (error) {
      return String(error);
    }
  }
}
