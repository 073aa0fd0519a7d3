import { existsSync } from "node:fs";
import { join } from "node:path";
import { nodeDigests } from "@flotilla/shared/platform/delta/node-compressor";
import { HttpSources } from "../adapters/artifact-http/http-sources.ts";
import { FilePayloadShelf } from "../adapters/artifact-http/payload-shelf.ts";
import { Ed25519Verifier } from "../adapters/credentials/signature-verifier.ts";
import { CronCalendar } from "../adapters/cron/cron-calendar.ts";
import { ThreadPatchWorker } from "../adapters/patch-worker/thread-patch-worker.ts";
import type { SqliteAgentStore } from "../adapters/store/sqlite-agent-store.ts";
import { SqliteTransferTable } from "../adapters/store/transfer-table.ts";
import type { LocalBlobs } from "../app/artifact/ports.ts";
import { ArtifactDelivery } from "../app/delivery/delivery.ts";
import { HubRoute } from "../app/delivery/hub-route.ts";
import { type ArtifactQuestions, LinkSource } from "../app/delivery/link-source.ts";
import type { CredentialStore } from "../app/link/ports.ts";
import { makeNotify } from "../app/state/notices.ts";
import type { DeliveryParts } from "./artifact-wiring.ts";
import type { AgentPlatform } from "./wiring.ts";

/** Memory that a patch may take. */
const PATCH_MEMORY_BYTES: number = 64 * 1024 * 1024;
/** Payloads that are kept while a transfer uses them. */
const SHELF_BYTES_MAX: number = 1024 * 1024 * 1024;

/** Makes what brings bytes to this node: from the hub by HTTPS, over the link where that does not pass, from other nodes. */
export function makeDelivery(
  options: { readonly root: string; readonly nodeId: string },
  deps: AgentPlatform & {
    readonly store: SqliteAgentStore;
    readonly credentials: CredentialStore;
    readonly questions: ArtifactQuestions;
    readonly blobs: LocalBlobs;
  },
): DeliveryParts {
  const { store } = deps;
  const site = () => store.desired()?.state.delivery;
  const sources = new HttpSources({}, deps);
  const link = new LinkSource(deps);
  const route = new HubRoute({ ...deps, sources, link, server: () => site()?.server });
  const notify = makeNotify(deps);
  const delivery = new ArtifactDelivery(
    { ownNode: options.nodeId, memoryBytes: PATCH_MEMORY_BYTES, keepsPayloads: false },
    {
      ...deps,
      link,
      route,
      sources,
      shelf: new FilePayloadShelf({ folder: options.root, quotaBytes: SHELF_BYTES_MAX }, deps),
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
    peer: () => undefined,
    services: [],
  };
}

/** The program of the patching thread lies beside this file: bundled in a release, as source in a checkout. */
function patchWorker(): string {
  const bundled = join(import.meta.dirname, "patch-worker.mjs");
  return existsSync(bundled) ? bundled : join(import.meta.dirname, "patch-worker.ts");
}
