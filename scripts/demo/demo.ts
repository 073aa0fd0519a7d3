import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DemoFleet, NODES, TRUCK } from "./fleet.ts";
import { model } from "./model.ts";
import { Narrator } from "./narrator.ts";
import { Processes, ROOT, refuseTaken } from "./processes.ts";
import { convergence, cutAndEdit, enrolment, placement, type Story } from "./story.ts";
import { killWorkloads, placesOfWorkloads } from "./workloads.ts";

/**
 * The main job on real processes: a hub and three agents on two sites carry one application; one link is cut, its agent
 * and workloads are killed and come back from local state; the hub is edited meanwhile; the link heals and everything converges. Then a model
 * is released under offline keys, served on every node, and updated by a delta without an interruption.
 */
const { values } = parseArgs({
  options: { json: { type: "boolean", default: false }, keep: { type: "boolean", default: false } },
});

process.chdir(ROOT);
const folder = mkdtempSync(join(tmpdir(), "flotilla-demo-"));
const narrator = new Narrator({ quiet: values.json });
const processes = new Processes({ environment: { NO_COLOR: "1" } });
const fleet = new DemoFleet({ folder }, { processes });
const edited = join(folder, "application-edited.yaml");
writeFileSync(
  edited,
  readFileSync("examples/hello/application.yaml", "utf8").replace("good morning", "good evening"),
);
const story: Story = { fleet, narrator, editedManifest: edited };

let cleaning: Promise<void> | undefined;
/** Leaves nothing behind: no process, no file. */
function cleanUp(): Promise<void> {
  cleaning ??= (async () => {
    fleet.close();
    await processes.stopAll();
    // With the agents gone nobody starts another one.
    for (const node of NODES) killWorkloads(fleet.stateDir(node));
    rmSync(folder, { recursive: true, force: true });
  })();
  return cleaning;
}

function leave(): void {
  void cleanUp().finally(() => process.exit(130));
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, leave);
// A reader that goes away (`npm run demo | head`) ends it like Ctrl-C; without a listener it would end with everything left behind.
for (const stream of [process.stdout, process.stderr]) stream.on("error", leave);

try {
  await refuseTaken(placesOfWorkloads());
  await enrolment(story);
  const before = await placement(story);
  const during = await cutAndEdit(story, before);
  const result = await convergence(story, during);
  const updated = await model(story, folder);
  if (values.json)
    process.stdout.write(
      `${JSON.stringify({ ...result, model: updated, timeline: narrator.timeline })}\n`,
    );
  if (values.keep) await stayUp();
} catch (error) {
  // Whoever ended the demo knows why it did not come to its end.
  if (cleaning !== undefined) await new Promise<never>(() => undefined);
  narrator.heading(`The demo failed: ${error instanceof Error ? error.message : String(error)}`);
  for (const name of ["hub", ...NODES.map((node) => node.name)])
    narrator.quote(`--- ${name}.log\n${tailOf(join(folder, `${name}.log`))}`);
  process.exitCode = 1;
} finally {
  await cleanUp();
}

function tailOf(file: string): string {
  try {
    return readFileSync(file, "utf8").split("\n").slice(-15).join("\n");
  } catch {
    return "(nothing)";
  }
}

/** Prints where to look around, and waits for Ctrl-C. */
async function stayUp(): Promise<void> {
  narrator.heading("It stays up until Ctrl-C. Look around:");
  // From any folder, and with the Node that the demo runs on: the machine's own may be an older one.
  const program = (name: string): string =>
    `${process.execPath} ${join(ROOT, "dist", `${name}.mjs`)}`;
  const lines = [
    `export KUBECONFIG=${fleet.kubeconfig}`,
    "kubectl get edgenodes,fleets,applications -o wide",
    "kubectl get pods -o wide -w",
    "kubectl describe application hello",
    `alias flotilla='${program("flotilla")}'`,
    "flotilla application status hello",
    "flotilla why hello",
    `${program("flotilla-agent")} status --state-dir ${fleet.stateDir(TRUCK)}`,
  ];
  narrator.quote(lines.join("\n"));
  await new Promise<never>(() => setInterval(() => undefined, 60_000));
}
