import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Service } from "@flotilla/shared/kernel/service";
import { nodeFiles } from "@flotilla/shared/platform/file-system";
import { ensureDirectory } from "@flotilla/shared/platform/files";
import { FileBlobs } from "../adapters/artifact-store/file-blobs.ts";
import { FileSlots } from "../adapters/artifact-store/file-slots.ts";
import { HttpReloadPoster } from "../adapters/reload/http-reload-poster.ts";
import type { HostProcessRuntime } from "../adapters/runtime/process-runtime.ts";
import { BlobTable } from "../adapters/store/blob-table.ts";
import { SlotTable } from "../adapters/store/slot-table.ts";
import type { SqliteAgentStore } from "../adapters/store/sqlite-agent-store.ts";
import { HostLockFiles } from "../adapters/update-lock/lock-file-reader.ts";
import { type Activation, makeActivation } from "../app/artifact/activation.ts";
import { discardIdleHalves } from "../app/artifact/idle-halves.ts";
import type { ArtifactQuestions } from "../app/delivery/link-source.ts";
import type { CredentialStore } from "../app/link/ports.ts";
import { makeNotify } from "../app/state/notices.ts";
import type { AgentConfig } from "./config.ts";
import { makeDelivery } from "./delivery-wiring.ts";
import type { AgentPlatform } from "./platform.ts";
import { makeTrust } from "./trust-wiring.ts";

/** Folder of contents, parts and slots in the state directory. */
const ARTIFACTS_FOLDER = "artifacts";
const FOLDER_MODE = 0o755;

export interface ArtifactWiringDeps extends AgentPlatform {
  readonly store: SqliteAgentStore;
  readonly nodeId: string;
  readonly bootId: string;
  readonly runtime: HostProcessRuntime;
  readonly credentials: CredentialStore;
  /** Asks the hub over the link. */
  readonly questions: ArtifactQuestions;
  /** Wakes the reconciler. */
  readonly onChange: () => void;
}

/** What of artifacts the rest of the agent uses. */
export interface Artifacts {
  readonly activation: Activation;
  readonly services: readonly Service[];
}

/** Makes everything about artifacts: contents and slots on the disk, trust, delivery, activation. */
export function makeArtifacts(config: AgentConfig, deps: ArtifactWiringDeps): Artifacts {
  const { clock, log, nodeId, runtime, store } = deps;
  const root = join(config.stateDir, ARTIFACTS_FOLDER);
  ensureDirectory(root, FOLDER_MODE);
  const common = { files: nodeFiles, log };
  const needed = (): ReadonlySet<string> =>
    new Set([...activation.service.needed(), ...delivery.needed()]);
  const { artifactCacheBytes, diskReserveBytes: reserveBytes } = config;
  const quota = artifactCacheBytes === undefined ? {} : { bytesMax: artifactCacheBytes };
  const blobs = new FileBlobs(
    { root, reserveBytes, ...quota },
    {
      ...common,
      rows: new BlobTable({ store }),
      clock,
      needed,
      makeWay: () => discardIdleHalves(activation.book.all(), { disk: slots, log }),
    },
  );
  const delivery = makeDelivery(config, { root, nodeId }, { ...deps, blobs });
  const trust = makeTrust(config, {
    ...deps,
    sources: delivery.sources,
    self: () => ({ nodeId, hardwareId: hardwareIdOf(config) }),
    notify: makeNotify(deps),
  });
  const slots = new FileSlots({ root }, { ...common, blobs });
  const activation: Activation = makeActivation(deps, {
    ...deps,
    slots: new SlotTable({ store, log }),
    sha256: (text) => createHash("sha256").update(text).digest("hex"),
    trust: trust.gate,
    fetcher: delivery.fetcher,
    blobs,
    disk: slots,
    recover: () => blobs.recover((sha256) => delivery.needed().has(sha256)),
    forget: delivery.forget,
    signals: runtime,
    poster: new HttpReloadPoster({ host: config.nodeAddress }),
    lockFiles: new HostLockFiles(),
    peer: delivery.peer,
  });
  const retry = (instanceId: string): number => {
    delivery.forgive();
    return activation.retry(instanceId);
  };
  return {
    activation: { ...activation, retry },
    services: [activation.service, trust.watch, ...delivery.services],
  };
}

/** What releases are made for, as their constraints and the signed metadata name it: `linux-arm64` unless the operator says. */
export function hardwareIdOf({ hardwareId }: Pick<AgentConfig, "hardwareId">): string {
  return hardwareId ?? `${process.platform}-${process.arch}`;
}
