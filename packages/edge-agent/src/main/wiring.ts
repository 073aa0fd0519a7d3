import { existsSync } from "node:fs";
import { join } from "node:path";
import { must } from "@flotilla/shared/kernel/assert";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { type Random, randomHex } from "@flotilla/shared/kernel/random";
import type { MetricDefinition, Service } from "@flotilla/shared/kernel/service";
import {
  ensureDirectory,
  readFileIfExists,
  writeFileDurable,
} from "@flotilla/shared/platform/files";
import { Codec } from "@flotilla/shared/protocol/codec";
import { FileCredentialStore } from "../adapters/credentials/file-credential-store.ts";
import { Ed25519Verifier } from "../adapters/credentials/signature-verifier.ts";
import { HttpsEnrolmentClient } from "../adapters/enrolment/https-enrolment-client.ts";
import { DeviceKeyMaker } from "../adapters/enrolment/key-maker.ts";
import { HostMeasures } from "../adapters/measures/host-measures.ts";
import { MqttLink } from "../adapters/mqtt/mqtt-link.ts";
import { MachineProbe } from "../adapters/probes/machine-probe.ts";
import { NvidiaSmi } from "../adapters/probes/nvidia-smi.ts";
import { SessionCpu } from "../adapters/probes/session-cpu.ts";
import { HttpMetricsPages } from "../adapters/probes-health/metrics-page.ts";
import { HostProbeRunner } from "../adapters/probes-health/probe-runner.ts";
import { readBootId } from "../adapters/runtime/proc.ts";
import { HostProcessRuntime } from "../adapters/runtime/process-runtime.ts";
import { refuseLongPath } from "../adapters/socket/local-server.ts";
import { DiskReserve } from "../adapters/store/disk-reserve.ts";
import { SqliteAgentStore } from "../adapters/store/sqlite-agent-store.ts";
import { lockStateDir } from "../adapters/store/state-lock.ts";
import { SystemdNotifier } from "../adapters/systemd/notify.ts";
import { ACTIVATION_METRICS, TRUST_METRICS } from "../app/artifact/metrics.ts";
import { CapacityCollector } from "../app/capacity/capacity-collector.ts";
import { CAPACITY_METRICS } from "../app/capacity/metrics.ts";
import { DELIVERY_METRICS } from "../app/delivery/metrics.ts";
import { EnrolmentService } from "../app/enrolment/enrolment-service.ts";
import { ENROLMENT_METRICS } from "../app/enrolment/metrics.ts";
import { LinkService } from "../app/link/link-service.ts";
import { logAnswer } from "../app/link/log-answer.ts";
import { LINK_METRICS } from "../app/link/metrics.ts";
import type { CredentialStore, Credentials } from "../app/link/ports.ts";
import type { AskOptions, Question } from "../app/link/questions.ts";
import { MeasureCollector } from "../app/measures/measure-collector.ts";
import { MEASURES_METRICS } from "../app/measures/metrics.ts";
import type { ProbeAddress } from "../app/measures/ports.ts";
import { RECONCILE_METRICS } from "../app/reconcile/metrics.ts";
import { Reconciler } from "../app/reconcile/reconciler.ts";
import { UsageCollector } from "../app/usage/usage-collector.ts";
import { hardwareIdOf, makeArtifacts } from "./artifact-wiring.ts";
import type { AgentConfig } from "./config.ts";
import { socketPathOf } from "./flotilla-agent.ts";
import { makeLocalApi } from "./local-wiring.ts";
import type { AgentPlatform } from "./platform.ts";
import { AGENT_VERSION } from "./version.ts";

/** Every metric of the agent; docs/metrics.md lists them. */
export const AGENT_METRICS: readonly MetricDefinition[] = [
  ...ACTIVATION_METRICS,
  ...CAPACITY_METRICS,
  ...DELIVERY_METRICS,
  ...ENROLMENT_METRICS,
  ...LINK_METRICS,
  ...MEASURES_METRICS,
  ...RECONCILE_METRICS,
  ...TRUST_METRICS,
];

/** Passes of the reconciler older than this are stale: systemd's watchdog is not fed any more. */
const FRESH_PASS_MS = 30_000;
const STATE_DIR_MODE = 0o750;
const AGENT_ID_BYTES = 16;
/** Of a broker whose address names none. */
const MQTTS_PORT = 8883;
/** File of the store in the state directory. */
const DATABASE_NAME = "agent.db";

/** An agent that is ready to run. */
export interface Agent {
  readonly nodeId: string;
  readonly services: readonly Service[];
  readonly systemd: Pick<SystemdNotifier, "ready" | "stopping">;
  /** After the services have stopped. Workloads go on. */
  close(): void;
}

/** Enrols the node of a state directory. One that is enrolled already stays so, and its join string is not used. */
export async function joinFleet(
  request: { readonly stateDir: string; readonly joinString: string; readonly nodeName: string },
  platform: AgentPlatform,
): Promise<{ readonly credentials: Credentials; readonly isNew: boolean }> {
  refuseLongPath(socketPathOf(request.stateDir));
  ensureDirectory(request.stateDir, STATE_DIR_MODE);
  const store = new FileCredentialStore({ directory: request.stateDir }, platform);
  const isNew = store.load() === undefined;
  const enrolment = enrolmentService({
    ...platform,
    credentials: store,
    onRenewed: () => undefined,
  });
  return { credentials: await enrolment.join(request), isNew };
}

function enrolmentService(
  deps: AgentPlatform & { readonly credentials: CredentialStore; readonly onRenewed: () => void },
): EnrolmentService {
  return new EnrolmentService(
    {},
    { ...deps, client: new HttpsEnrolmentClient(), keys: new DeviceKeyMaker() },
  );
}

/**
 * Makes the agent, in the order in which its parts rest on each other. When it resolves the epoch is durable and the machine
 * has been read once. Throws CodedError: not enrolled, state directory in use, database unusable.
 */
export async function openAgent(config: AgentConfig, platform: AgentPlatform): Promise<Agent> {
  refuseLongPath(socketPathOf(config.stateDir));
  if (!existsSync(config.stateDir)) throw notEnrolled(config);
  const reserve = new DiskReserve({ path: join(config.stateDir, "reserve") }, platform);
  reserve.release();
  const lock = lockStateDir(config.stateDir);
  try {
    const credentials = withMqttUrl(
      new FileCredentialStore({ directory: config.stateDir }, platform),
      config.mqttUrl,
    );
    if (credentials.load() === undefined && !existsSync(join(config.stateDir, DATABASE_NAME)))
      throw notEnrolled(config);
    const store = new SqliteAgentStore({ directory: config.stateDir }, platform);
    const nodeId = nodeOf(credentials, store, config);
    const parts = makeParts(config, { ...platform, credentials, nodeId, store });
    const close = (): void => {
      store.close();
      lock.release();
    };
    await parts.capacity.prepare().catch((error: unknown) => {
      store.close();
      throw error;
    });
    return { nodeId, systemd: parts.systemd, services: [...servicesOf(parts), reserve], close };
  } catch (error) {
    lock.release();
    throw error;
  }
}

interface PartDeps extends AgentPlatform {
  readonly credentials: CredentialStore;
  readonly nodeId: string;
  readonly store: SqliteAgentStore;
}

type Parts = ReturnType<typeof makeParts>;

function makeParts(config: AgentConfig, deps: PartDeps) {
  const { clock, nodeId } = deps;
  const bootId = readBootId();
  const agentId = agentIdOf(config.stateDir, deps.random);
  const workDir = config.workDir ?? config.stateDir;
  const runtime = makeRuntime(config, { agentId, bootId, workDir }, deps, () => reconciler.wake());
  const usage = makeUsage(config, { ...deps, onMoved: () => reconciler.wake() });
  const artifacts = makeArtifacts(config, {
    ...deps,
    bootId,
    runtime,
    questions: { ask: <Q extends Question>(question: Q, o: AskOptions) => link.ask(question, o) },
    onChange: () => reconciler.wake(),
  });
  const reconciler: Reconciler = new Reconciler(
    {
      agentId,
      nodeId,
      nodeAddress: config.nodeAddress,
      inheritedEnvironment: inheritedEnvironment(),
      bootId,
      artifactPathsOf: (id) => artifacts.activation.gate.pathsOf(id),
    },
    {
      ...deps,
      runtime,
      artifacts: artifacts.activation.gate,
      probeRunner: new HostProbeRunner({ workDir }),
      useOf: (id) => usage.useOf(id),
      onChange: () => link.wake(),
    },
  );
  const session = { hasSession: () => link.hasSession(), onReport: () => link.wake() };
  const capacity = makeCapacity(config, { ...deps, ...session });
  const measures = makeMeasures(config, { ...deps, ...session });
  const enrolment = enrolmentService({ ...deps, onRenewed: () => link.reconnect() });
  const link: LinkService = new LinkService(
    {},
    {
      ...deps,
      link: new MqttLink({ clock }),
      codec: new Codec(),
      verifier: new Ed25519Verifier(deps),
      onDesiredAccepted: () => reconciler.wake(),
      onLogGet: (request) =>
        Promise.resolve(
          logAnswer(request, runtime.readLog({ ...request, instanceId: request.instance })),
        ),
      birthFacts: () => ({
        agentVersion: AGENT_VERSION,
        bootId,
        ...must(capacity.birthFacts(), "the machine was read before the link was started"),
        reported: reconciler.reported(),
        ...measures.birthFacts(),
      }),
      onUnauthorized: () => enrolment.renewSoon(),
    },
  );
  const socket = makeLocalApi(config, { ...deps, reconciler, runtime, link, artifacts });
  const systemd = makeSystemd(deps, reconciler);
  return { reconciler, artifacts, usage, capacity, measures, enrolment, link, systemd, socket };
}

function makeRuntime(
  { stateDir }: AgentConfig,
  ids: { readonly agentId: string; readonly bootId: string; readonly workDir: string },
  { clock, log }: PartDeps,
  onExit: () => void,
): HostProcessRuntime {
  const root = join(stateDir, "instances");
  const options = { ...ids, root, exitRecorder: exitRecorder() };
  return new HostProcessRuntime(options, { clock, log, onExit });
}

function makeUsage(
  { nodeAddress }: AgentConfig,
  deps: PartDeps & { readonly onMoved: () => void },
): UsageCollector {
  const sources = { probe: new SessionCpu(), pages: new HttpMetricsPages() };
  return new UsageCollector({ host: nodeAddress }, { ...deps, ...sources });
}

function makeSystemd({ clock, log }: PartDeps, reconciler: Reconciler): SystemdNotifier {
  return new SystemdNotifier(
    { notifySocket: process.env["NOTIFY_SOCKET"], watchdogUsec: process.env["WATCHDOG_USEC"] },
    { clock, log, isFresh: () => clock.bootMs() - reconciler.lastPassBootMs < FRESH_PASS_MS },
  );
}

function makeCapacity(
  config: AgentConfig,
  deps: PartDeps & { readonly hasSession: () => boolean; readonly onReport: () => void },
): CapacityCollector {
  const nvidia = new NvidiaSmi({}, deps);
  const probe = new MachineProbe(
    { diskPath: config.stateDir, runtimes: ["process"], hardwareId: hardwareIdOf(config) },
    { ...deps, nvidia },
  );
  return new CapacityCollector({}, { ...deps, probe });
}

function makeMeasures(
  config: AgentConfig,
  deps: PartDeps & { readonly hasSession: () => boolean; readonly onReport: () => void },
): MeasureCollector {
  const { credentials, store } = deps;
  return new MeasureCollector(
    { diskProbe: config.diskProbe },
    {
      ...deps,
      probe: new HostMeasures({ stateDir: config.stateDir }),
      plan: () => store.desired()?.state.probe,
      hub: () => hubAddress(credentials.load()?.mqttUrl),
    },
  );
}

function hubAddress(mqttUrl: string | undefined): ProbeAddress | undefined {
  if (mqttUrl === undefined || !URL.canParse(mqttUrl)) return undefined;
  const { hostname, port } = new URL(mqttUrl);
  return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || MQTTS_PORT) };
}

/** Workloads first: they need nothing else. */
function servicesOf(parts: Parts): readonly Service[] {
  return [
    parts.reconciler,
    parts.socket,
    ...parts.artifacts.services,
    parts.capacity,
    parts.usage,
    parts.measures,
    parts.systemd,
    parts.enrolment,
    parts.link,
  ];
}

/**
 * The node that this state directory is. Without credentials, lost or damaged, it is known from the desired state that was accepted
 * last: what ran goes on running and starts again, and only the link waits for the node to join again.
 */
function nodeOf(
  credentials: CredentialStore,
  store: SqliteAgentStore,
  config: AgentConfig,
): string {
  const nodeId = credentials.load()?.nodeId ?? store.desired()?.state.nodeId;
  if (nodeId !== undefined) return nodeId;
  store.close();
  throw notEnrolled(config);
}

function notEnrolled({ stateDir }: AgentConfig): CodedError {
  return new CodedError(
    "not-enrolled",
    `${stateDir} holds no credentials: this node is not enrolled`,
    {
      mend: `flotilla-agent join '<string of flotilla node join-token>' --node-name NAME --state-dir ${stateDir}`,
    },
  );
}

function withMqttUrl(credentials: CredentialStore, mqttUrl: string | undefined): CredentialStore {
  if (mqttUrl === undefined) return credentials;
  return {
    load: () => {
      const own = credentials.load();
      return own === undefined ? undefined : { ...own, mqttUrl };
    },
    // What the hub says is kept, so that the flag can be left out again.
    save: (next) => credentials.save(next),
  };
}

/** Durable name of this agent, in the environment of its workloads: after a restart it knows its own by it. */
function agentIdOf(stateDir: string, random: Random): string {
  const path = join(stateDir, "agent-id");
  const known = readFileIfExists(path)?.trim();
  if (known !== undefined && /^[0-9a-f]{32}$/.test(known)) return known;
  const fresh = randomHex(random, AGENT_ID_BYTES, "agent.id");
  writeFileDurable(path, `${fresh}\n`, 0o640);
  return fresh;
}

/** The recorder lies beside this file: bundled in a release, as source in a checkout. */
function exitRecorder(): readonly [string, ...string[]] {
  const bundled = join(import.meta.dirname, "exit-recorder.mjs");
  return [
    process.execPath,
    existsSync(bundled) ? bundled : join(import.meta.dirname, "exit-recorder.ts"),
  ];
}

function inheritedEnvironment(): Readonly<Record<string, string>> {
  const names = ["PATH", "LANG"];
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}
