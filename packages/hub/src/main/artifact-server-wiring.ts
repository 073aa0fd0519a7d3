import { existsSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { Service } from "@flotilla/shared/kernel/service";
import type { ServerSetup, ServerTls } from "../adapters/artifact-server/messages.ts";
import { ArtifactServerThread } from "../adapters/artifact-server/server-thread.ts";
import { WatchedFolder } from "../adapters/artifact-store/incoming-folder.ts";
import type { FileCertificateAuthority } from "../adapters/pki/certificate-authority.ts";
import { ArtifactGarbage } from "../app/artifact/garbage.ts";
import { IncomingReleases } from "../app/artifact/incoming.ts";
import type { NeededContents } from "../app/artifact/needed.ts";
import { disconnectRefusedNodes, StoreAdmission } from "../app/enrolment/admission.ts";
import type { ResourceApi, ResourceStore } from "../app/resources/ports.ts";
import { advertised, namedHosts } from "./addresses.ts";
import type { Artifacts } from "./artifact-wiring.ts";
import { type HubConfig, splitAddress } from "./config.ts";
import type { HubPlatform } from "./platform.ts";

/** Most memory of the thread's own objects; pieces of files lie outside of it and have a limit of their own. */
const THREAD_HEAP_MIB_MAX = 256;

interface Deps extends HubPlatform {
  readonly store: ResourceStore;
  readonly ca: FileCertificateAuthority;
  readonly artifacts: Artifacts;
  /** Hexadecimal SHA-256 of the administrator's token. */
  readonly tokenHash: string;
}

/** The artifact server, which listens already. */
export interface OpenArtifactServer {
  readonly thread: ArtifactServerThread;
  /** Gives it the certificate of now. */
  renew(): Promise<void>;
}

/** Opens the server in its thread; nodes and administrators are told its addresses from then on. Rejects when a port cannot be had. */
export async function openArtifactServer(
  config: HubConfig,
  deps: Deps,
): Promise<OpenArtifactServer> {
  const { artifacts, store } = deps;
  const tls = (): Promise<ServerTls> => serverTls(config, deps.ca);
  const thread = new ArtifactServerThread(
    {
      dataDir: config.dataDir,
      nodes: splitAddress(config.artifactListen, "artifactListen"),
      administrators: splitAddress(config.uploadListen, "uploadListen"),
      tls: await tls(),
      tokenHashes: [deps.tokenHash],
    },
    {
      ...deps,
      spawn,
      blobs: artifacts.blobs,
      admission: new StoreAdmission({}, deps),
      timeAnswer: (nonce) => artifacts.trust.timeAnswer(nonce),
    },
  );
  const ports = await thread.start();
  const { artifactAdvertise, artifactListen, uploadAdvertise, uploadListen } = config;
  artifacts.addresses.current = {
    server: `https://${artifactAdvertise ?? advertised(artifactListen, ports.nodes)}`,
    uploads: `https://${uploadAdvertise ?? advertised(uploadListen, ports.administrators)}`,
  };
  disconnectRefusedNodes({ store, link: { disconnect: (nodeId) => thread.refuse(nodeId) } });
  return { thread, renew: async () => thread.setTls(await tls()) };
}

/** What keeps the store of contents: the server itself, the watched folder, and garbage collection. */
export function artifactStoreServices(
  config: HubConfig,
  deps: HubPlatform & {
    readonly thread: ArtifactServerThread;
    readonly artifacts: Artifacts;
    readonly needed: NeededContents;
    readonly resources: ResourceApi;
  },
): readonly Service[] {
  const path = config.artifactIncomingDir ?? join(config.dataDir, "artifacts", "incoming");
  const { thread } = deps;
  const { blobs, payloads, index } = deps.artifacts;
  return [
    new ArtifactGarbage({ ...deps, blobs, payloads, deltas: index }),
    new IncomingReleases({ ...deps, folder: new WatchedFolder({ path }), taker: thread }),
    thread,
  ];
}

async function serverTls(config: HubConfig, ca: FileCertificateAuthority): Promise<ServerTls> {
  const hosts = [
    ...namedHosts([config.artifactListen, config.artifactAdvertise], "artifactListen"),
    ...namedHosts([config.uploadListen, config.uploadAdvertise], "uploadListen"),
  ];
  const made = await ca.serverCredentials({ name: "artifacts", hosts });
  return {
    certificate: made.certificate,
    privateKey: made.privateKey,
    caCertificate: ca.caCertificate,
  };
}

/** The bundled program beside a bundled hub, else the source. A hub whose start fails does not wait for it. */
function spawn(setup: ServerSetup): Worker {
  const bundled = join(import.meta.dirname, "artifact-server-worker.mjs");
  const program = existsSync(bundled)
    ? bundled
    : join(import.meta.dirname, "artifact-server-worker.ts");
  const worker = new Worker(program, {
    name: "artifact-server",
    workerData: setup,
    resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MIB_MAX },
  });
  worker.unref();
  return worker;
}
