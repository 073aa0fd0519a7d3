import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Command } from "commander";
import { type ApiObject, resourcePath } from "../client/api-client.ts";
import { CliError } from "../domain/errors.ts";
import { kindByName } from "../domain/kinds.ts";
import type { Io } from "../output/io.ts";
import { age, formatTable } from "../output/table.ts";
import { describeFleet } from "./describe.ts";
import { find, getObjects, itemsOf, objectText } from "./objects.ts";
import { type Session, withSession } from "./session.ts";
import { follow, versionOf } from "./watch.ts";

/** `cluster …` and `fleet …`: the article's verbs. */
export function addInventoryCommands(program: Command, io: Io): void {
  addClusterCommands(program, io);
  addFleetCommands(program, io);
}

interface RegisterFlags {
  /** The global flag: here it is the kubeconfig of the cluster, as the article writes it. */
  readonly kubeconfig?: string;
  readonly provider?: string;
  readonly region?: string;
  readonly attribute?: string[];
}

function addClusterCommands(program: Command, io: Io): void {
  const cluster = program
    .command("cluster")
    .description("Kubernetes, Karmada and KubeEdge control planes");
  cluster
    .command("register")
    .argument("<name>")
    .description(
      "register a cluster by its --kubeconfig FILE, which is kept as a Secret, encrypted at rest (the hub is the context's)",
    )
    .option("--provider <name>", "cloud or owner, for example huawei, aliyun, kubeedge, onprem")
    .option("--region <name>", "region in the provider's own words")
    .option("--attribute <key=value...>", "attribute for placement, for example low-latency=true")
    .action((name: string, _flags: unknown, command: Command) =>
      withSession(
        io,
        command,
        (session) => registerCluster(session, name, command.optsWithGlobals<RegisterFlags>()),
        { kubeconfigNamesHub: false },
      ),
    );
  cluster
    .command("list")
    .description("list the registered clusters")
    .action((_flags: unknown, command: Command) =>
      withSession(io, command, (session) =>
        getObjects(session, { kind: kindByName("clusters"), names: [] }, {}),
      ),
    );
}

async function registerCluster(
  session: Session,
  name: string,
  flags: RegisterFlags,
): Promise<void> {
  const { client, namespace, io } = session;
  const secretName = `${name}-kubeconfig`;
  const kubeconfig = readKubeconfigBase64(flags.kubeconfig);
  await upsert(session, "secrets", {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: secretName },
    type: "Opaque",
    data: { kubeconfig },
  });
  await upsert(session, "clusters", {
    apiVersion: "cluster.kurator.dev/v1alpha1",
    kind: "Cluster",
    metadata: { name },
    spec: {
      ...(flags.provider === undefined ? {} : { provider: flags.provider }),
      ...(flags.region === undefined ? {} : { region: flags.region }),
      ...(flags.attribute === undefined
        ? {}
        : { attributes: parsePairs(flags.attribute, "--attribute") }),
      kubeconfigRef: { name: secretName, key: "kubeconfig" },
    },
  });
  io.out(
    `cluster/${name} registered in namespace ${namespace}\nnext: flotilla fleet create NAME --clusters ${name}   (hub ${client.server})\n`,
  );
}

function readKubeconfigBase64(path: string | undefined): string {
  if (path === undefined)
    throw new CliError("usage", "the cluster's kubeconfig is missing", {
      mend: "--kubeconfig FILE",
    });
  try {
    return readFileSync(path.replace(/^~(?=\/)/, homedir())).toString("base64");
  } catch (error) {
    throw new CliError("usage", `--kubeconfig ${path}: cannot be read`, {
      fields: { why: messageOf(error) },
    });
  }
}

/** `k=v` pairs of a flag. */
export function parsePairs(pairs: readonly string[], flag: string): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair): [string, string] => {
      const at = pair.indexOf("=");
      if (at <= 0) throw new CliError("usage", `${flag} ${pair}: key=value is expected`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** Creates, or replaces by merge patch when it is there. */
async function upsert(
  session: Session,
  plural: string,
  object: { readonly metadata: { readonly name: string }; readonly [key: string]: unknown },
): Promise<void> {
  const kind = kindByName(plural);
  const place = { namespace: session.namespace };
  const query = "?fieldManager=flotilla&fieldValidation=Strict";
  const path = resourcePath(kind, { ...place, name: object.metadata.name });
  if ((await find(session, path)) === undefined) {
    await session.client.json({
      method: "POST",
      path: `${resourcePath(kind, place)}${query}`,
      body: object,
    });
  } else {
    await session.client.json({
      method: "PATCH",
      path: `${path}${query}`,
      body: object,
      contentType: "application/merge-patch+json",
    });
  }
}

interface FleetFlags {
  readonly clusters?: string;
  readonly sites?: string;
}

function addFleetCommands(program: Command, io: Io): void {
  const fleet = program.command("fleet").description("clusters and sites as one");
  fleet
    .command("create")
    .argument("<name>")
    .description("create a fleet of registered clusters and of sites")
    .option("--clusters <names>", "comma-separated names of clusters")
    .option("--sites <names>", "comma-separated names of sites")
    .action((name: string, flags: FleetFlags, command: Command) =>
      withSession(io, command, (session) => createFleet(session, name, flags)),
    );
  fleet
    .command("list")
    .description("list the fleets")
    .action((_flags: unknown, command: Command) =>
      withSession(io, command, (session) =>
        getObjects(session, { kind: kindByName("fleets"), names: [] }, {}),
      ),
    );
  fleet
    .command("describe")
    .argument("[name]")
    .description("members, readiness and conditions of a fleet (default: the context's)")
    .action((name: string | undefined, _flags: unknown, command: Command) =>
      withSession(io, command, async (session) => {
        const wanted = name ?? session.fleet;
        if (wanted === undefined)
          throw new CliError("usage", "which fleet?", { mend: "flotilla fleet describe NAME" });
        const object = await session.client.json({
          method: "GET",
          path: resourcePath(kindByName("fleets"), { namespace: session.namespace, name: wanted }),
        });
        io.out(
          objectText(session, kindByName("fleets"), object) ??
            describeFleet(object as unknown as ObjectOf<"Fleet">, io.nowMs()),
        );
      }),
    );
}

async function createFleet(session: Session, name: string, flags: FleetFlags): Promise<void> {
  const names = (text: string | undefined): string[] =>
    (text ?? "")
      .split(",")
      .map((s) => s.trim())
      .filter((s) => s !== "");
  const [clusters, sites] = [names(flags.clusters), names(flags.sites)];
  if (clusters.length + sites.length === 0)
    throw new CliError("usage", "a fleet needs members", {
      mend: "--clusters A,B and/or --sites X,Y",
    });
  await session.client.json({
    method: "POST",
    path: `${resourcePath(kindByName("fleets"), { namespace: session.namespace })}?fieldManager=flotilla&fieldValidation=Strict`,
    body: {
      apiVersion: "fleet.kurator.dev/v1alpha1",
      kind: "Fleet",
      metadata: { name },
      spec: {
        ...(clusters.length === 0 ? {} : { clusters: clusters.map((c) => ({ name: c })) }),
        ...(sites.length === 0 ? {} : { sites: sites.map((s) => ({ name: s })) }),
      },
    },
  });
  session.io.out(
    `fleet/${name} created\nnext: flotilla fleet describe ${name} -n ${session.namespace}\n`,
  );
}

/** `flotilla events`. */
export function addEventsCommand(program: Command, io: Io): void {
  program
    .command("events")
    .description("what happened, newest last")
    .option("--type <type>", "Normal or Warning")
    .option("--for <kind/name>", "events about one object")
    .option("-w, --watch", "go on with what happens from now on")
    .action((flags: EventFlags, command: Command) =>
      withSession(io, command, (session) => listEvents(session, flags)),
    );
}

interface EventFlags {
  readonly type?: string;
  readonly for?: string;
  readonly watch?: boolean;
}

/** Events of the namespace (or of all), filtered by the hub. */
async function listEvents(session: Session, flags: EventFlags): Promise<void> {
  const [kind, name] = (flags.for ?? "").split("/");
  const selectors = [
    ...(flags.type === undefined ? [] : [`type=${flags.type}`]),
    ...(name === undefined || kind === undefined
      ? []
      : [`involvedObject.kind=${kindByName(kind).kind}`, `involvedObject.name=${name}`]),
  ];
  const query =
    selectors.length === 0 ? "" : `?fieldSelector=${encodeURIComponent(selectors.join(","))}`;
  const namespace = session.allNamespaces ? undefined : session.namespace;
  const kindOfEvents = kindByName("events");
  const path = `${resourcePath(kindOfEvents, { namespace })}${query}`;
  const list = await session.client.json({ method: "GET", path });
  const print = (object: ApiObject, noHeaders: boolean): void =>
    session.io.out(
      objectText(session, kindOfEvents, object) ??
        eventTable(
          itemsOf(object) as unknown as ObjectOf<"Event">[],
          session.io.nowMs(),
          noHeaders,
        ),
    );
  print(list, session.noHeaders);
  if (flags.watch !== true) return;
  await follow(session, { path, resourceVersion: versionOf(list) ?? "0" }, (e) => print(e, true));
}

/** Events as a table, oldest first. */
export function eventTable(
  events: readonly ObjectOf<"Event">[],
  nowMs: number,
  noHeaders = false,
): string {
  const when = (e: ObjectOf<"Event">): string =>
    e.lastTimestamp ?? e.eventTime ?? e.metadata.creationTimestamp ?? "";
  const rows = events
    .toSorted((a, b) => when(a).localeCompare(when(b)))
    .map((e) => [
      age(when(e), nowMs),
      e.type ?? "",
      e.reason ?? "",
      `${(e.involvedObject.kind ?? "").toLowerCase()}/${e.involvedObject.name ?? ""}`,
      `${e.message ?? ""}${(e.count ?? 1) > 1 ? ` (x${e.count})` : ""}`,
    ]);
  return rows.length === 0
    ? "no events\n"
    : formatTable(["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"], rows, { noHeaders });
}
