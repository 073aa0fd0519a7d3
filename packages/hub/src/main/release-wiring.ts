import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Metrics, Service } from "@flotilla/shared/kernel/service";
import { NeededContents } from "../app/artifact/needed.ts";
import { NodeArtifacts } from "../app/artifact/node-artifacts.ts";
import type { SignedTargets, StoredContents } from "../app/artifact/ports.ts";
import { Prestager } from "../app/artifact/prestager.ts";
import { ReleaseController } from "../app/artifact/release-controller.ts";
import type { Sha256 } from "../app/desired/ports.ts";
import type { EventRecorder } from "../app/events/event-recorder.ts";
import type { ResourceStore } from "../app/resources/ports.ts";
import type { Scheduler } from "../app/scheduling/scheduler.ts";

interface ReleaseDeps {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly store: ResourceStore;
  readonly scheduler: Scheduler;
  readonly events: Pick<EventRecorder, "record">;
  readonly sha256: Sha256;
  readonly blobs: StoredContents;
  readonly trust: SignedTargets;
  /** The artifact server as nodes reach it; absent while it does not listen. */
  readonly addresses: { readonly current?: { readonly server: string } };
}

/** What becomes of releases: their status, what nodes are told of them, and which contents must stay. */
export function makeReleases(deps: ReleaseDeps) {
  const { blobs: contents, trust: signed } = deps;
  const prestager = new Prestager({}, deps);
  const serverUrl = (): string | undefined => deps.addresses.current?.server;
  const forNodes = new NodeArtifacts({ ...deps, prestager, serverUrl });
  const needed = new NeededContents({ ...deps, prestaged: () => prestager.releases() });
  const services: readonly Service[] = [
    new ReleaseController({}, { ...deps, contents, signed }),
    prestager,
  ];
  return { forNodes, needed, services };
}
