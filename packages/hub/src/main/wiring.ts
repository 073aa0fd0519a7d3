import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Service } from "@flotilla/shared/kernel/service";
import { ensureDirectory } from "@flotilla/shared/platform/files";
import { solveLinearProgram } from "@flotilla/shared/platform/linear-program";
import type { MetricDefinition } from "@flotilla/shared/platform/metrics";
import { Codec } from "@flotilla/shared/protocol/codec";
import { DEFAULT_SHARD } from "@flotilla/shared/protocol/topics";
import { createBroker } from "../adapters/broker/embedded-broker.ts";
import { BROKER_METRICS } from "../adapters/broker/metrics.ts";
import type { BrokerTls } from "../adapters/broker/tls-listener.ts";
import { tokenAuthenticator } from "../adapters/http/bearer-tokens.ts";
import type { Readiness } from "../adapters/http/health-routes.ts";
import { HTTP_METRICS } from "../adapters/http/metrics.ts";
import { createHttpServer, type HttpServer } from "../adapters/http/server.ts";
import {
  type FileCertificateAuthority,
  openCertificateAuthority,
} from "../adapters/pki/certificate-authority.ts";
import { openDesiredSigner } from "../adapters/pki/desired-signer.ts";
import { enrolmentCrypto } from "../adapters/pki/enrolment-crypto.ts";
import { UrlPriceSource } from "../adapters/prices/price-source.ts";
import { StoreMaintenance } from "../adapters/store/maintenance.ts";
import { SqliteResourceStore } from "../adapters/store/sqlite-resource-store.ts";
import { ApplicationController } from "../app/application/application-controller.ts";
import { APPLICATION_METRICS } from "../app/application/metrics.ts";
import { RELEASE_METRICS } from "../app/artifact/release-metrics.ts";
import { NoticeController } from "../app/conditions/notice-controller.ts";
import { CONTROL_METRICS } from "../app/control/metrics.ts";
import { Defragmenter } from "../app/defragment/defragmenter.ts";
import { DEFRAGMENT_METRICS } from "../app/defragment/metrics.ts";
import { DesiredService } from "../app/desired/desired-service.ts";
import { DESIRED_METRICS } from "../app/desired/metrics.ts";
import { disconnectRefusedNodes, StoreAdmission } from "../app/enrolment/admission.ts";
import { EnrolmentService } from "../app/enrolment/enrolment-service.ts";
import { ENROLMENT_METRICS } from "../app/enrolment/metrics.ts";
import { EventRecorder } from "../app/events/event-recorder.ts";
import { EVENT_METRICS } from "../app/events/metrics.ts";
import { FleetController } from "../app/fleet/fleet-controller.ts";
import { FLEET_METRICS } from "../app/fleet/metrics.ts";
import { GarbageCollector } from "../app/garbage/garbage-collector.ts";
import { GARBAGE_METRICS } from "../app/garbage/metrics.ts";
import { IngestService } from "../app/ingest/ingest-service.ts";
import { INGEST_METRICS } from "../app/ingest/metrics.ts";
import { LogService } from "../app/logs/log-service.ts";
import { LOG_METRICS } from "../app/logs/metrics.ts";
import { ProbePlans } from "../app/measures/probe-plans.ts";
import { DeviceWatch } from "../app/node/device-watch.ts";
import { LeaseSweep } from "../app/node/lease-sweep.ts";
import { LeaseTable } from "../app/node/lease-table.ts";
import { NODE_METRICS } from "../app/node/metrics.ts";
import { NodeAssignments } from "../app/node/node-assignments.ts";
import { PRICING_METRICS } from "../app/pricing/metrics.ts";
import { PriceFeeds } from "../app/pricing/price-feeds.ts";
import { NamespaceCleaner } from "../app/resources/namespace-cleaner.ts";
import { ResourceService } from "../app/resources/resource-service.ts";
import { Autoscaler } from "../app/scheduling/autoscaler.ts";
import { SCHEDULING_METRICS } from "../app/scheduling/metrics.ts";
import { QueueStatusWriter } from "../app/scheduling/queue-status.ts";
import { Scheduler } from "../app/scheduling/scheduler.ts";
import { ValueService } from "../app/scheduling/value-service.ts";
import { WhatIf } from "../app/scheduling/what-if.ts";
import { advertised, namedHosts } from "./addresses.ts";
import { type AdminAccess, openAdminAccess } from "./admin-access.ts";
import {
  artifactStoreServices,
  type OpenArtifactServer,
  openArtifactServer,
} from "./artifact-server-wiring.ts";
import { ARTIFACT_METRICS, makeArtifacts } from "./artifact-wiring.ts";
import { type HubConfig, splitAddress } from "./config.ts";
import { LateLink } from "./late-link.ts";
import { CertificateKeeper, listenerService } from "./lifecycle.ts";
import type { HubPlatform } from "./platform.ts";
import { makeReleases } from "./release-wiring.ts";
import { HUB_VERSION } from "./version.ts";

/** Every metric of the hub; docs/metrics.md lists them. */
export const HUB_METRICS: readonly MetricDefinition[] = [
  ...APPLICATION_METRICS,
  ...ARTIFACT_METRICS,
  ...BROKER_METRICS,
  ...CONTROL_METRICS,
  ...DEFRAGMENT_METRICS,
  ...DESIRED_METRICS,
  ...ENROLMENT_METRICS,
  ...EVENT_METRICS,
  ...FLEET_METRICS,
  ...GARBAGE_METRICS,
  ...HTTP_METRICS,
  ...INGEST_METRICS,
  ...LOG_METRICS,
  ...NODE_METRICS,
  ...SCHEDULING_METRICS,
  ...PRICING_METRICS,
  ...RELEASE_METRICS,
];

/** A hub that listens; its services are still to be run. */
export interface Hub {
  readonly services: readonly Service[];
  readonly apiUrl: string;
  readonly mqttUrl: string;
  readonly kubeconfigPath: string;
  /** After the services have stopped: waits for what was taken, writes it and closes the files. */
  close(): Promise<void>;
}

/**
 * Makes the hub, in the order in which its parts rest on each other: store, keys, services, broker, API. Listens before it
 * returns, so that a port that is taken ends the start with an error.
 */
export async function openHub(config: HubConfig, platform: HubPlatform): Promise<Hub> {
  ensureDirectory(config.dataDir, 0o700);
  const store = new SqliteResourceStore({ dataDir: config.dataDir }, platform);
  try {
    const ca = await openCertificateAuthority({ directory: join(config.dataDir, "pki") }, platform);
    const core = makeCore(config, { ...platform, store });
    const listeners = await openListeners(config, { ...platform, store, ca, core });
    const close = async (): Promise<void> => {
      await core.ingest.drained();
      store.close();
    };
    return { ...listeners, close };
  } catch (error) {
    store.close();
    throw error;
  }
}

type Core = ReturnType<typeof makeCore>;

/** Everything between the store and the network. */
function makeCore(config: HubConfig, deps: HubPlatform & { readonly store: SqliteResourceStore }) {
  const link = new LateLink();
  const priceDir = config.priceDir ?? join(config.dataDir, "prices");
  ensureDirectory(priceDir, 0o700);
  const crypto = enrolmentCrypto(deps);
  const signer = openDesiredSigner({ directory: join(config.dataDir, "pki") });
  const sha256 = (text: string): string => crypto.sha256Hex(text);
  const assignments = new NodeAssignments(deps);
  const probes = new ProbePlans(deps);
  const leases = new LeaseTable();
  const events = new EventRecorder({}, deps);
  const logs = new LogService({ ...deps, link });
  const scheduler = new Scheduler(deps);
  const artifacts = makeArtifacts(config, { ...deps, link, events, signer });
  const releases = makeReleases({ ...deps, ...artifacts, scheduler, events, sha256 });
  const desired = new DesiredService({
    ...deps,
    link,
    assignments,
    probes,
    artifacts: releases.forNodes,
    signer,
    sha256,
    events,
  });
  const ingest = new IngestService(
    {},
    {
      ...deps,
      link,
      codec: new Codec(),
      leases,
      assignments,
      events,
      desired,
      artifacts: artifacts.questions,
      logs,
    },
  );
  const services: readonly Service[] = [
    new StoreMaintenance(deps),
    events,
    new LeaseSweep({}, { ...deps, leases, events }),
    desired,
    ...makeControllers({ priceDir }, { ...deps, events, sha256, scheduler }),
    ...artifacts.services,
    ...releases.services,
  ];
  const placement = new WhatIf({ ...deps, scheduler, sha256 });
  return {
    link,
    crypto,
    signer,
    events,
    logs,
    ingest,
    placement,
    artifacts,
    releases,
    services,
    heardWallMs: (nodeName: string) => heardWallMs(leases, nodeName, deps.clock),
  };
}

function heardWallMs(leases: LeaseTable, nodeName: string, clock: Clock): number | undefined {
  const ageMs = leases.ageMs(nodeName, clock.bootMs());
  return ageMs === undefined ? undefined : clock.wallMs() - ageMs;
}

/** Everything that keeps objects as they are asked to be. */
function makeControllers(
  options: { readonly priceDir: string },
  deps: HubPlatform & {
    readonly store: SqliteResourceStore;
    readonly events: EventRecorder;
    readonly sha256: (text: string) => string;
    readonly scheduler: Scheduler;
  },
): readonly Service[] {
  const queues = new QueueStatusWriter(deps);
  const turn = (): Promise<void> => setImmediate();
  return [
    new NamespaceCleaner(deps),
    new FleetController({}, deps),
    queues,
    new DeviceWatch({}, deps),
    new ApplicationController({}, { ...deps, defragmenter: new Defragmenter(deps), queues, turn }),
    new ValueService({ ...deps, solve: solveLinearProgram, turn }),
    new Autoscaler({}, deps),
    new PriceFeeds({ ...deps, source: new UrlPriceSource({ directory: options.priceDir }) }),
    new GarbageCollector({}, deps),
    new NoticeController({}, deps),
  ];
}

interface ListenerDeps extends HubPlatform {
  readonly store: SqliteResourceStore;
  readonly ca: FileCertificateAuthority;
  readonly core: Core;
}

async function openListeners(config: HubConfig, deps: ListenerDeps): Promise<Omit<Hub, "close">> {
  const { ca, core, store } = deps;
  const admin = openAdminAccess({ dataDir: config.dataDir, caCertificate: ca.caCertificate }, deps);
  const { artifacts, releases } = core;
  // Before anybody can ask: what nodes are told names its address.
  const artifactServer = await openArtifactServer(config, {
    ...deps,
    artifacts,
    tokenHash: admin.token.sha256,
  });
  const broker = createBroker(await brokerOptions(config, deps), {
    ...deps,
    uplink: core.ingest,
    admission: new StoreAdmission({}, deps),
    onIncident: ({ nodeId, addresses }) => {
      const about = store.get("EdgeNode", "", nodeId);
      const message = `two devices seem to use one certificate, from ${addresses.join(" and ")}; both are refused for a while`;
      if (about !== undefined)
        core.events.record({ about, type: "Warning", reason: "DuplicateNode", message });
    },
  });
  core.link.tie(broker.link);
  disconnectRefusedNodes({ store, link: core.link });
  const { port: mqttPort } = await broker.listen();
  const mqttUrl = `mqtts://${config.mqttAdvertise ?? advertised(config.mqttListen, mqttPort)}`;
  const api = await openApi(config, { ...deps, mqttUrl, admin, artifactServer });
  const { resources } = api;
  const renew = async (): Promise<void> => {
    await artifactServer.renew();
    const [forApi, forBroker] = [
      await serverTls(config, deps, "api"),
      await serverTls(config, deps, "broker"),
    ];
    api.server.replaceCertificate({
      tlsKey: forApi.privateKey,
      tlsCertificate: forApi.certificate,
    });
    broker.setTls(forBroker);
  };
  return {
    services: [
      ...core.services,
      ...artifactStoreServices(config, {
        ...deps,
        ...artifactServer,
        ...releases,
        artifacts,
        resources,
      }),
      new CertificateKeeper({ ...deps, renew }),
      listenerService("broker", broker),
      listenerService("api", api.server),
    ],
    apiUrl: api.url,
    mqttUrl,
    kubeconfigPath: api.kubeconfigPath,
  };
}

async function brokerOptions(config: HubConfig, deps: ListenerDeps) {
  return {
    ...splitAddress(config.mqttListen, "mqttListen"),
    tls: await serverTls(config, deps, "broker"),
    shard: DEFAULT_SHARD,
    term: deps.store.term,
  };
}

async function serverTls(
  config: HubConfig,
  deps: ListenerDeps,
  name: "api" | "broker",
): Promise<BrokerTls> {
  const addresses =
    name === "api"
      ? [config.apiListen, config.apiAdvertise]
      : [config.mqttListen, config.mqttAdvertise];
  const hosts = namedHosts(addresses, `${name}Listen`);
  const { certificate, privateKey } = await deps.ca.serverCredentials({ name, hosts });
  return { certificate, privateKey, caCertificate: deps.ca.caCertificate };
}

async function openApi(
  config: HubConfig,
  deps: ListenerDeps & {
    readonly mqttUrl: string;
    readonly admin: AdminAccess;
    readonly artifactServer: OpenArtifactServer;
  },
): Promise<{
  readonly server: HttpServer;
  readonly resources: ResourceService;
  readonly url: string;
  readonly kubeconfigPath: string;
}> {
  const { ca, core, store, mqttUrl, admin, artifactServer } = deps;
  // Known when the API listens: with port 0 not before. Nobody can ask for a join string earlier.
  let apiAddress = config.apiAdvertise ?? config.apiListen;
  const enrolment = new EnrolmentService(
    {
      mqttUrl,
      shard: DEFAULT_SHARD,
      get apiAddress() {
        return apiAddress;
      },
    },
    { ...deps, signer: core.signer, crypto: core.crypto, events: core.events },
  );
  const resources = new ResourceService(
    {},
    { ...deps, hooks: enrolment, heardWallMs: core.heardWallMs },
  );
  await ensureDefaultNamespace(store, resources);
  const tls = await serverTls(config, deps, "api");
  const server = createHttpServer(
    {
      ...splitAddress(config.apiListen, "apiListen"),
      tlsKey: tls.privateKey,
      tlsCertificate: tls.certificate,
      caCertificate: ca.caCertificate,
      authenticate: tokenAuthenticator([admin.token]),
      version: HUB_VERSION,
    },
    {
      ...deps,
      resources,
      enrolment,
      logs: core.logs,
      placement: core.placement,
      artifacts: core.artifacts.api,
      metricsText: () => deps.metrics.text(),
      readiness: () =>
        readinessOf({ store: store.isWritable, artifacts: artifactServer.thread.isUp }),
    },
  );
  const { port } = await server.listen();
  apiAddress = config.apiAdvertise ?? advertised(config.apiListen, port);
  const url = `https://${apiAddress}`;
  return { server, resources, url, kubeconfigPath: admin.writeKubeconfig(url) };
}

function readinessOf(parts: Readonly<Record<string, boolean>>): Readiness {
  const checks = Object.entries(parts).map(([name, ok]) => ({ name, ok }));
  return { ready: checks.every((c) => c.ok), checks };
}

/**
 * Every cluster has it, and clients name it when nothing else was said. Being the first object of a new hub, it also keeps the
 * revision 0 from clients, to whom it means any version.
 */
async function ensureDefaultNamespace(
  store: SqliteResourceStore,
  resources: ResourceService,
): Promise<void> {
  if (store.get("Namespace", "", "default") !== undefined) return;
  const body = { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } };
  const user = { name: "hub", groups: [] };
  await resources.create("Namespace", "", body, { user, fieldValidation: "Strict" });
}
