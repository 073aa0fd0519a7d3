import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Service } from "@flotilla/shared/kernel/service";
import type { ReportedArtifacts } from "@flotilla/shared/model/artifact";
import { nodeDigests } from "@flotilla/shared/platform/delta/node-compressor";
import { HttpSources } from "../adapters/artifact-http/http-sources.ts";
import { FilePayloadShelf } from "../adapters/artifact-http/payload-shelf.ts";
import { PeerServer } from "../adapters/artifact-http/peer-server.ts";
import { Ed25519Verifier } from "../adapters/credentials/signature-verifier.ts";
import { CronCalendar } from "../adapters/cron/cron-calendar.ts";
import { ThreadPatchWorker } from "../adapters/patch-worker/thread-patch-worker.ts";
import type { SqliteAgentStore } from "../adapters/store/sqlite-agent-store.ts";
import { SqliteTransferTable } from "../adapters/store/transfer-table.ts";
import type { BlobFetcher, ByteSource, LocalBlobs } from "../app/artifact/ports.ts";
import { Bandwidth } from "../app/delivery/bandwidth.ts";
import { ArtifactDelivery } from "../app/delivery/delivery.ts";
import { HubRoute } from "../app/delivery/hub-route.ts";
import { type ArtifactQuestions, LinkSource } from "../app/delivery/link-source.ts";
import type { CredentialStore } from "../app/link/ports.ts";
import { makeNotify } from "../app/state/notices.ts";
import type { AgentConfig } from "./config.ts";
import { type PeerAddresses, peerAddresses } from "./peer-address.ts";
import type { AgentPlatform } from "./platform.ts";

/** Memory that a patch may take. */
const PATCH_MEMORY_BYTES: number = 64 * 1024 * 1024;

/** How bytes come to this node. */
interface DeliveryParts {
  readonly fetcher: BlobFetcher;
  /** Where trust metadata is asked for, in this order. */
  readonly sources: () => readonly ByteSource[];
  /** Contents that transfers go on with. */
  readonly needed: () => ReadonlySet<string>;
  /** Lets go of what came of files that nobody wants any more. */
  readonly forget: (isWanted: (sha256: string) => boolean) => void;
  /** Ways to files that failed here are tried again. */
  readonly forgive: () => void;
  /** Where other nodes of the site reach this node's blocks; undefined: it serves none. */
  readonly peer: () => ReportedArtifacts["peer"];
  readonly services: readonly Service[];
}

interface Deps extends AgentPlatform {
  readonly store: SqliteAgentStore;
  readonly credentials: CredentialStore;
  readonly questions: ArtifactQuestions;
  readonly blobs: LocalBlobs;
}

/**
 * Makes what brings bytes to this node: from the hub by HTTPS, over the link where that does not pass, from other nodes; and what gives
 * them to other nodes.
 */
export function makeDelivery(
  config: AgentConfig,
  options: { readonly root: string; readonly nodeId: string },
  deps: Deps,
): DeliveryParts {
  const { store } = deps;
  const site = () => store.desired()?.state.delivery;
  const addresses = peerAddresses(config);
  const shelf = new FilePayloadShelf(
    { folder: options.root, quotaBytes: addresses === undefined ? 0 : config.payloadCacheBytes },
    deps,
  );
  const server = addresses && makePeerServer(config, addresses, { ...deps, shelf });
  const sources = new HttpSources(config, deps);
  const link = new LinkSource(deps);
  const notify = makeNotify(deps);
  const route = new HubRoute({
    ...deps,
    sources,
    link,
    server: () => site()?.server,
    onFallback: ({ code, message }) =>
      notify({
        type: "Warning",
        reason: "ArtifactServerFailed",
        message: `artifacts come over MQTT: ${code}: ${message}`,
      }),
  });
  const delivery = new ArtifactDelivery(
    {
      ownNode: options.nodeId,
      memoryBytes: PATCH_MEMORY_BYTES,
      keepsPayloads: server !== undefined,
      bytesPerSecond: config.downloadBytesPerSecond,
    },
    {
      ...deps,
      link,
      route,
      sources,
      shelf,
      patches: new ThreadPatchWorker({ entry: patchWorker() }),
      transfers: new SqliteTransferTable({ store }),
      verifier: new Ed25519Verifier(deps),
      digests: nodeDigests,
      calendar: new CronCalendar(),
      delivery: site,
      onStruck: ({ node, reason }) =>
        notify({
          type: "Warning",
          reason: "PeerStruck",
          message: `node ${node} is not asked for blocks any more: it ${reason}`,
        }),
    },
  );
  return {
    fetcher: delivery,
    sources: () => [route],
    needed: () => delivery.needed(),
    forget: (isWanted) => delivery.forget(isWanted),
    forgive: () => delivery.forgive(),
    peer: () => server && announced(addresses, server.port),
    services: server === undefined ? [] : [server],
  };
}

function makePeerServer(
  { peerBytesPerSecond }: AgentConfig,
  addresses: PeerAddresses,
  deps: Deps & { readonly shelf: FilePayloadShelf },
): PeerServer {
  const { metrics, shelf } = deps;
  const bandwidth = new Bandwidth({ bytesPerSecond: peerBytesPerSecond }, deps);
  return new PeerServer(addresses, {
    ...deps,
    payloads: shelf,
    serving: {
      share: (bytes, signal) => bandwidth.take(bytes, signal),
      served: (bytes) => metrics.count("flotilla_agent_peer_sent_bytes_total", {}, bytes),
    },
  });
}

/** Undefined while it does not listen, and when others would not know where to come. */
function announced(addresses: PeerAddresses | undefined, port: number): ReportedArtifacts["peer"] {
  const host = addresses?.announcedHost;
  return host === undefined || port === 0 ? undefined : { host, port };
}

/** The program of the patching thread lies beside this file: bundled in a release, as source in a checkout. */
function patchWorker(): string {
  const bundled = join(import.meta.dirname, "patch-worker.mjs");
  return existsSync(bundled) ? bundled : join(import.meta.dirname, "patch-worker.ts");
}
