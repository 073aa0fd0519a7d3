import type { Clock } from "@flotilla/shared/kernel/clock";
import type { HostProcessRuntime } from "../adapters/runtime/process-runtime.ts";
import { LocalServer } from "../adapters/socket/local-server.ts";
import type { SqliteAgentStore } from "../adapters/store/sqlite-agent-store.ts";
import type { LinkService, LinkStatus } from "../app/link/link-service.ts";
import { LocalInspector } from "../app/local-api/inspector.ts";
import { LocalOperator } from "../app/local-api/operator.ts";
import type { LinkView } from "../app/local-api/ports.ts";
import type { Reconciler } from "../app/reconcile/reconciler.ts";
import type { Artifacts } from "./artifact-wiring.ts";
import type { AgentConfig } from "./config.ts";
import { socketPathOf } from "./flotilla-agent.ts";
import type { AgentPlatform } from "./platform.ts";
import { AGENT_VERSION } from "./version.ts";

/** Makes what answers on the agent's own socket. */
export function makeLocalApi(
  config: Pick<AgentConfig, "stateDir">,
  deps: AgentPlatform & {
    readonly nodeId: string;
    readonly store: SqliteAgentStore;
    readonly reconciler: Reconciler;
    readonly runtime: HostProcessRuntime;
    readonly link: LinkService;
    readonly artifacts: Artifacts;
  },
): LocalServer {
  const { clock, link, log, nodeId } = deps;
  const operations = makeOperator(deps);
  const api = new LocalInspector(
    { nodeId, agentVersion: AGENT_VERSION, pid: process.pid },
    { ...deps, link: () => linkView(link.status(), clock), locks: () => operations.locks() },
  );
  return new LocalServer(
    { socketPath: socketPathOf(config.stateDir) },
    { api, operations, log, metricsText: () => deps.metrics.text() },
  );
}

function makeOperator(deps: {
  readonly artifacts: Artifacts;
  readonly store: SqliteAgentStore;
  readonly reconciler: Reconciler;
}): LocalOperator {
  const { reconciler, store } = deps;
  const { book, gate, locks, retry } = deps.artifacts.activation;
  return new LocalOperator({
    locks,
    retry,
    slots: () => book.all(),
    folderOf: (id) => gate.pathsOf(id).FLOTILLA_ARTIFACTS,
    reported: () => reconciler.reported(),
    instanceIds: () =>
      new Set([...store.instances(), ...(store.desired()?.state.instances ?? [])].map((i) => i.id)),
    onChange: () => reconciler.wake(),
  });
}

function linkView(status: LinkStatus, clock: Clock): LinkView {
  const seconds = Math.round((clock.bootMs() - status.sinceBootMs) / 1000);
  const end =
    status.lastEnd === undefined || status.phase === "online"
      ? ""
      : `; last session: ${describeEnd(status.lastEnd)}`;
  return { connected: status.phase === "online", detail: `${status.phase} for ${seconds} s${end}` };
}

function describeEnd(end: NonNullable<LinkStatus["lastEnd"]>): string {
  return "detail" in end ? `${end.kind}, ${end.detail}` : end.kind;
}
