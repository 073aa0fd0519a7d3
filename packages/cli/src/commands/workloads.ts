import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Explanation, PlacementPlan } from "@flotilla/shared/model/what-if";
import type { Command } from "commander";
import { type ApiObject, resourcePath } from "../client/api-client.ts";
import { CliError } from "../domain/errors.ts";
import { kindByName } from "../domain/kinds.ts";
import type { Io } from "../output/io.ts";
import { printable } from "../output/table.ts";
import { applicationStatus, describeNode } from "./describe.ts";
import { eventTable, parsePairs } from "./inventory.ts";
import { type Manifest, readManifests } from "./manifests.ts";
import { find, getObjects, itemsOf, objectText } from "./objects.ts";
import { explanationText, planText } from "./placement-text.ts";
import { type Session, withSession } from "./session.ts";

/** `application …`, `why` and `logs`. */
export function addWorkloadCommands(program: Command, io: Io): void {
  const application = program
    .command("application")
    .alias("app")
    .description("what runs, component by component");
  application
    .command("list")
    .description("list the applications")
    .action((_flags: unknown, command: Command) =>
      withSession(io, command, (session) =>
        getObjects(session, { kind: kindByName("applications"), names: [] }, {}),
      ),
    );
  application
    .command("status")
    .argument("<name>")
    .description("progress of each component and instance")
    .action((name: string, _flags: unknown, command: Command) =>
      withSession(io, command, (session) => showApplication(session, name, false)),
    );
  application
    .command("describe")
    .argument("<name>")
    .description("status, placement of every instance and, with --events, what happened")
    .option("--events", "events of the application and of its instances")
    .action((name: string, flags: { events?: boolean }, command: Command) =>
      withSession(io, command, (session) => showApplication(session, name, flags.events === true)),
    );
  program
    .command("why")
    .argument("<application|instance|node>")
    .description(
      "why each instance is where it is: the candidates, their scores, what excluded them",
    )
    .action((name: string, _flags: unknown, command: Command) =>
      withSession(io, command, (session) => explain(session, name)),
    );
  program
    .command("plan")
    .description("what applying Applications would do to their instances now; changes nothing")
    .requiredOption("-f, --filename <path...>", "file, folder or -")
    .action((options: { filename: string[] }, command: Command) =>
      withSession(io, command, async (session) =>
        planAll(session, await readManifests(options.filename, io)),
      ),
    );
  program
    .command("logs")
    .argument("<instance>")
    .description("the end of an instance's log, asked of its node")
    .option("-c, --container <name>", "container, when there are several")
    .option("--tail <lines>", "how many lines", "200")
    .action((name: string, flags: { container?: string; tail: string }, command: Command) =>
      withSession(io, command, (session) => showLogs(session, name, flags)),
    );
}

async function assignments(
  session: Session,
  selector?: { readonly label?: string; readonly namespace?: string },
): Promise<ObjectOf<"Assignment">[]> {
  const query =
    selector?.label === undefined ? "" : `?labelSelector=${encodeURIComponent(selector.label)}`;
  const path = resourcePath(kindByName("assignments"), { namespace: selector?.namespace });
  const list = await session.client.json({ method: "GET", path: `${path}${query}` });
  return itemsOf(list) as unknown as ObjectOf<"Assignment">[];
}

async function assignmentsOf(
  session: Session,
  application: string,
): Promise<ObjectOf<"Assignment">[]> {
  const all = await assignments(session, { namespace: session.namespace });
  return all.filter((a) => a.spec.application === application);
}

async function showApplication(session: Session, name: string, withEvents: boolean): Promise<void> {
  const { client, namespace, io } = session;
  const object = await client.json({
    method: "GET",
    path: resourcePath(kindByName("applications"), { namespace, name }),
  });
  const asked = objectText(session, kindByName("applications"), object);
  if (asked !== undefined) return io.out(asked);
  const instances = await assignmentsOf(session, name);
  io.out(applicationStatus(object as unknown as ObjectOf<"Application">, instances, io.nowMs()));
  if (!withEvents) return;
  const list = await client.json({
    method: "GET",
    path: resourcePath(kindByName("events"), { namespace }),
  });
  const names = new Set([name, ...instances.map((a) => a.metadata.name)]);
  const events = (itemsOf(list) as unknown as ObjectOf<"Event">[]).filter((e) =>
    names.has(e.involvedObject.name ?? ""),
  );
  io.out(`\nEvents:\n${eventTable(events, io.nowMs())}`);
}

async function explain(session: Session, name: string): Promise<void> {
  const all = await assignments(
    session,
    session.allNamespaces ? {} : { namespace: session.namespace },
  );
  const byNode = await assignments(session, {});
  const found = all.filter((a) => a.metadata.name === name || a.spec.application === name);
  const matching = found.length > 0 ? found : byNode.filter((a) => a.spec.node === name);
  if (matching.length === 0) {
    throw new CliError("not-found", `no application, instance or node "${name}" has a placement`, {
      mend: `flotilla application list -A; the namespace asked was ${session.namespace}`,
    });
  }
  const kind = kindByName("assignments");
  const explanations = await Promise.all(
    matching.slice(0, EXPLAINED_MAX).map(({ metadata: { namespace, name: instance } }) =>
      session.client.json({
        method: "GET",
        path: resourcePath(kind, { namespace, name: instance, subresource: "explain" }),
      }),
    ),
  );
  const omitted = matching.length - explanations.length;
  session.io.out(
    objectText(session, kind, { items: explanations }) ??
      explanations.map((e) => explanationText(e as unknown as Explanation)).join("\n") +
        (omitted === 0 ? "" : `\n(${omitted} more; name one to see it)\n`),
  );
}

/** Most instances that one `why` explains. */
const EXPLAINED_MAX = 20;

/** Plans the Applications among the manifests; others are left out, and said. */
async function planAll(session: Session, manifests: readonly Manifest[]): Promise<void> {
  const kind = kindByName("applications");
  const applications = manifests.filter((m) => m.kind === "Application");
  for (const { kind: other, name } of manifests.filter((m) => m.kind !== "Application"))
    session.io.err(`${other} ${name}: not planned; apply it first if the plan rests on it\n`);
  const plans: ApiObject[] = [];
  for (const { object, name, namespace = session.namespace } of applications)
    plans.push(
      await session.client.json({
        method: "POST",
        path: resourcePath(kind, { namespace, name, subresource: "plan" }),
        body: object,
      }),
    );
  session.io.out(
    objectText(session, kind, { items: plans }) ??
      plans.map((plan) => planText(plan as unknown as PlacementPlan)).join("\n"),
  );
}

async function showLogs(
  session: Session,
  name: string,
  flags: { readonly container?: string; readonly tail: string },
): Promise<void> {
  const tailLines = Number(flags.tail);
  if (!Number.isInteger(tailLines) || tailLines < 1)
    throw new CliError("usage", `--tail ${flags.tail}: a whole number of at least 1 is expected`);
  const query = new URLSearchParams({
    tailLines: String(tailLines),
    ...(flags.container === undefined ? {} : { container: flags.container }),
  });
  const path = resourcePath(kindByName("pods"), {
    namespace: session.namespace,
    name,
    subresource: "log",
  });
  const text = await session.client.text({
    method: "GET",
    path: `${path}?${query.toString()}`,
    accept: "text/plain",
  });
  session.io.out(text.split("\n").map(printable).join("\n"));
}

/** `node …`: devices. */
export function addNodeCommands(program: Command, io: Io): void {
  const node = program
    .command("node")
    .description("edge nodes: list, describe, enrol, cordon, drain");
  node
    .command("list")
    .description("list the nodes")
    .option("-l, --selector <selector>", "label selector")
    .action((flags: { selector?: string }, command: Command) =>
      withSession(io, command, (session) =>
        getObjects(session, { kind: kindByName("edgenodes"), names: [] }, flags),
      ),
    );
  node
    .command("describe")
    .argument("<name>")
    .description("machine, life, load, assignments and conditions of a node")
    .action((name: string, _flags: unknown, command: Command) =>
      withSession(io, command, (session) => showNode(session, name)),
    );
  node
    .command("join-token")
    .description(
      "make a single-use token with which one node enrols; the join string is printed once",
    )
    .requiredOption("--site <name>", "site that the node will belong to")
    .option("--node <name>", "only a node of this name may use it")
    .option("--ttl <duration>", "how long it is good for, at most 24h", "1h")
    .option("--label <key=value...>", "label that the node gets")
    .action((flags: TokenFlags, command: Command) =>
      withSession(io, command, (session) => makeToken(session, flags)),
    );
  addMaintenanceCommands(node, io);
}

interface TokenFlags {
  readonly site: string;
  readonly node?: string;
  readonly ttl: string;
  readonly label?: string[];
}

async function makeToken(session: Session, flags: TokenFlags): Promise<void> {
  const answer = await session.client.json({
    method: "POST",
    path: `${resourcePath(kindByName("jointokens"), {})}?fieldManager=flotilla&fieldValidation=Strict`,
    body: {
      apiVersion: "edge.kurator.dev/v1alpha1",
      kind: "JoinToken",
      metadata: { generateName: `${flags.site}-` },
      spec: {
        site: flags.site,
        ttl: flags.ttl,
        ...(flags.node === undefined ? {} : { nodeName: flags.node }),
        ...(flags.label === undefined ? {} : { nodeLabels: parsePairs(flags.label, "--label") }),
      },
    },
  });
  const token = answer as unknown as ObjectOf<"JoinToken">;
  const { io } = session;
  const asked = objectText(session, kindByName("jointokens"), answer);
  if (asked !== undefined) return io.out(asked);
  io.out(`${token.status?.joinString ?? ""}\n`);
  io.err(
    `good for one node of site ${flags.site} until ${token.status?.expiresAt ?? "?"}\nnext, on the node: flotilla-agent join '<the string above>' --node-name ${flags.node ?? "NAME"}\n`,
  );
}

async function showNode(session: Session, name: string): Promise<void> {
  const { client, io } = session;
  const object = await client.json({
    method: "GET",
    path: resourcePath(kindByName("edgenodes"), { name }),
  });
  const asked = objectText(session, kindByName("edgenodes"), object);
  if (asked !== undefined) return io.out(asked);
  const here = (await assignments(session, {})).filter((a) => a.spec.node === name);
  io.out(describeNode(object as unknown as ObjectOf<"EdgeNode">, here, io.nowMs()));
}

function addMaintenanceCommands(node: Command, io: Io): void {
  const verbs = [
    ["cordon", "take nothing new, keep what runs", { unschedulable: true }, "cordoned"],
    [
      "uncordon",
      "take work again; ends a drain too",
      { unschedulable: null, drain: null },
      "uncordoned",
    ],
    ["drain", "cordon, and move everything away", { unschedulable: true, drain: true }, "draining"],
  ] as const;
  for (const [verb, description, spec, done] of verbs) {
    node
      .command(verb)
      .argument("<name>")
      .description(description)
      .action((name: string, _flags: unknown, command: Command) =>
        withSession(io, command, async (session) => {
          const path = resourcePath(kindByName("edgenodes"), { name });
          if ((await find(session, path)) === undefined)
            throw new CliError("not-found", `there is no node "${name}"`, {
              mend: "flotilla node list",
            });
          await session.client.json({
            method: "PATCH",
            path: `${path}?fieldManager=flotilla`,
            body: { spec },
            contentType: "application/merge-patch+json",
          });
          io.out(`node/${name} ${done}\n`);
        }),
      );
  }
}
