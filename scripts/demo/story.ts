import type { DemoFleet } from "./fleet.ts";
import { NODES, TRUCK } from "./fleet.ts";
import type { Narrator } from "./narrator.ts";
import { killIfThere, until } from "./processes.ts";
import { ask, GREETER_PORT, WEB_PORT, workloadPids } from "./workloads.ts";

/** The demo's chapters, in order. Each does something real and waits until it is true. */
export interface Story {
  readonly fleet: DemoFleet;
  readonly narrator: Narrator;
  readonly editedManifest: string;
}

/** Process of each Deployment instance, by instance: the proof of what was restarted and what was not. */
type Pids = ReadonlyMap<string, number>;

/** Hub up, nodes enrolled. */
export async function enrolment({ fleet, narrator }: Story): Promise<void> {
  narrator.heading("1. A hub, and three agents on two sites");
  const ports = await fleet.startHub();
  narrator.event(`the hub answers: API on port ${ports.apiPort}, MQTT on port ${ports.mqttPort}`);
  await fleet.cli("apply", "-f", "examples/hello/fleet.yaml");
  for (const node of NODES) {
    await fleet.enrol(node);
    narrator.event(`${node.name} enrolled at ${node.site} with a single-use join token`);
  }
  await until("three ready nodes", async () =>
    (await fleet.nodes()).filter((n) => n.status?.life === "ready").length === NODES.length
      ? true
      : undefined,
  );
  narrator.event("all nodes have reported their capacity and are ready");
  narrator.quote(await fleet.cli("node", "list"));
}

/** The application placed, running and answering. */
export async function placement({ fleet, narrator }: Story): Promise<Pids> {
  narrator.heading("2. An application is placed");
  narrator.quote(await fleet.cli("apply", "-f", "examples/hello/application.yaml"));
  await until("the application to run", () => settled(fleet));
  narrator.event("every instance is ready, the job is done");
  narrator.quote(await fleet.cli("application", "status", "hello"));
  narrator.event("why there? every candidate, its score, or what excluded it:");
  for (const instance of ["hello-web-0", "hello-greeter-0"])
    narrator.quote(await fleet.cli("why", instance));
  for (const node of NODES) {
    const answer = await ask(node, WEB_PORT);
    narrator.event(
      `GET http://${node.address}:${WEB_PORT}/ → ${answer.greeting} from ${answer.instance} on ${answer.node}`,
    );
  }
  const greeting = await ask(TRUCK, GREETER_PORT);
  narrator.event(`GET http://${TRUCK.address}:${GREETER_PORT}/ → ${greeting.greeting}`);
  return pidsOf(fleet);
}

/** True when the newest generation is ready everywhere and the job has succeeded. */
async function settled(fleet: DemoFleet): Promise<true | undefined> {
  const application: {
    metadata: { generation: number };
    status?: {
      phase?: string;
      observedGeneration?: number;
      components?: {
        type: string;
        desired: number;
        ready: number;
        succeeded: number;
        updated: number;
      }[];
    };
  } = JSON.parse(await fleet.cli("get", "application", "hello", "-o", "json"));
  const { status } = application;
  const current = status?.observedGeneration === application.metadata.generation;
  const done = (status?.components ?? []).every(
    (c) =>
      (c.type === "Job" ? c.succeeded === c.desired : c.ready === c.desired) &&
      c.updated === c.desired,
  );
  return current && done && (status?.components ?? []).length > 0 ? true : undefined;
}

async function pidsOf(fleet: DemoFleet): Promise<Pids> {
  const pids = new Map<string, number>();
  for (const { metadata, spec, status } of await fleet.assignments()) {
    if (spec.desired.kind === "Deployment" && status?.reported?.pid !== undefined)
      pids.set(metadata.name, status.reported.pid);
  }
  return pids;
}

/** What was there before the cut, and what the demo itself killed. */
export interface During {
  readonly before: Pids;
  readonly killed: readonly number[];
}

/** The truck drives into a tunnel; there everything dies and comes back by itself. */
export async function cutAndEdit(
  { fleet, narrator, editedManifest }: Story,
  before: Pids,
): Promise<During> {
  narrator.heading(`3. ${TRUCK.name} loses its link, its agent and its workloads`);
  fleet.cutLink();
  narrator.event(`the link of ${TRUCK.name} is cut: no byte passes, nobody is told`);
  const killed = workloadPids(fleet.stateDir(TRUCK));
  await fleet.killAgent(TRUCK);
  for (const pid of killed) killIfThere(pid);
  narrator.event(`kill -9 of its agent and of its ${killed.length} workload processes`);
  fleet.startAgent(TRUCK);
  narrator.event("its agent is started again, still cut off");
  const answer = await until("the truck's workload to answer", () => ask(TRUCK, WEB_PORT));
  narrator.event(
    `its workload runs again from local state: ${answer.greeting} from ${answer.instance}, pid ${answer.pid}`,
  );
  await until("the truck's greeter to answer", () => ask(TRUCK, GREETER_PORT));
  narrator.quote(await fleet.localStatus(TRUCK));
  await fleet.cli("apply", "-f", editedManifest);
  narrator.event(
    "meanwhile the application is edited at the hub: the greeting becomes “good evening”",
  );
  const stale = await ask(TRUCK, GREETER_PORT);
  narrator.event(`${TRUCK.name} cannot know yet and says: ${stale.greeting}`);
  return { before, killed };
}

/** The JSON line of the demo, its timeline apart. */
export interface Result {
  readonly nodes: readonly {
    readonly name: string;
    readonly site: string;
    readonly life: string;
    readonly desiredRevision: number;
    readonly convergedRevision: number;
  }[];
  readonly placements: readonly {
    readonly instance: string;
    readonly node: string;
    readonly site: string;
    readonly score: number;
    readonly parts: Readonly<Record<string, number>>;
  }[];
  readonly restarts: Readonly<
    Record<
      string,
      {
        readonly restarts: number;
        readonly why: "none" | "killed by the demo" | "edited" | "unexpected";
      }
    >
  >;
  readonly restartsOfWhatWasRight: number;
}

/** The link heals; only what was edited changes. */
export async function convergence({ fleet, narrator }: Story, during: During): Promise<Result> {
  narrator.heading("4. The link heals");
  const cutOff = await ask(TRUCK, WEB_PORT);
  fleet.healLink();
  narrator.event("the link works again");
  const answer = await until("the new greeting", async () => {
    const greeting = await ask(TRUCK, GREETER_PORT);
    return greeting.greeting === "good evening" ? greeting : undefined;
  });
  narrator.event(`${TRUCK.name} says: ${answer.greeting}`);
  await until("reported state to equal desired state", () => settled(fleet));
  narrator.event("reported state equals desired state on every node");
  const after = await ask(TRUCK, WEB_PORT);
  const result = await resultOf(fleet, during, {
    instance: after.instance,
    restarted: after.pid !== cutOff.pid,
  });
  narrator.quote(await fleet.cli("application", "describe", "hello", "--events"));
  for (const [instance, { why, restarts }] of Object.entries(result.restarts))
    narrator.event(`${instance}: ${restarts} restarts (${why})`);
  narrator.event(`restarts of what was right: ${result.restartsOfWhatWasRight}`);
  if (result.restartsOfWhatWasRight > 0) throw new Error("something that was right was restarted");
  return result;
}

async function resultOf(
  fleet: DemoFleet,
  during: During,
  reconnected: { readonly instance: string; readonly restarted: boolean },
): Promise<Result> {
  const after = await pidsOf(fleet);
  const assignments = await fleet.assignments();
  const restarts = Object.fromEntries(
    [...during.before].map(([name, pid]) => [
      name,
      judge({
        name,
        pid,
        killed: during.killed,
        after: after.get(name),
        reported:
          assignments.find((a) => a.metadata.name === name)?.status?.reported?.restartCount ?? 0,
      }),
    ]),
  );
  const unexpected = Object.values(restarts).filter((r) => r.why === "unexpected").length;
  return {
    nodes: (await fleet.nodes()).map(({ metadata, spec, status }) => ({
      name: metadata.name,
      site: spec.site,
      life: status?.life ?? "registered",
      desiredRevision: status?.desiredRevision ?? 0,
      convergedRevision: status?.convergedRevision ?? 0,
    })),
    placements: assignments.map(({ metadata, spec }) => ({
      instance: metadata.name,
      node: spec.node ?? "",
      site: spec.site ?? "",
      score: spec.score ?? 0,
      parts: { ...spec.parts },
    })),
    restarts,
    restartsOfWhatWasRight: unexpected + (reconnected.restarted ? 1 : 0),
  };
}

interface Observation {
  readonly name: string;
  readonly pid: number;
  readonly killed: readonly number[];
  readonly after: number | undefined;
  readonly reported: number;
}

/** A process that is still the same was not restarted; one that is another must have a reason. */
function judge({ name, pid, killed, after, reported }: Observation): Result["restarts"][string] {
  if (pid === after) return { restarts: reported, why: "none" };
  if (name.includes("-greeter-")) return { restarts: reported, why: "edited" };
  return { restarts: reported, why: killed.includes(pid) ? "killed by the demo" : "unexpected" };
}
