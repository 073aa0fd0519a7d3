import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { encodeModel, makeModels } from "./site/model.ts";
import { runSite, SCENES, type Scene, type SiteResult } from "./site/site.ts";
import { tableText } from "./support/table.ts";

/** What a site takes over its uplink when all its nodes get a new model, with and without each other. */
const USAGE = `npm run bench:site -- [options]
  --nodes N       nodes of the site, default 20
  --megabytes N   size of the model, default 50
  --uplink N      Mbit/s of the site, default 200; 0: as fast as the machine is
  --seed N        of the weights, default 1
  --only KIND     full or delta; default: both
  --json FILE     writes the figures there too`;

interface Row extends SiteResult {
  readonly kind: "full" | "delta";
  readonly scene: Scene;
}

const MEGABYTE = 1e6;
const BITS = 8;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      nodes: { type: "string", default: "20" },
      megabytes: { type: "string", default: "50" },
      uplink: { type: "string", default: "200" },
      seed: { type: "string", default: "1" },
      only: { type: "string" },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const nodes = Number(values.nodes);
  const uplink = Number(values.uplink);
  const model = makeModels(Number(values.megabytes) * MEGABYTE, Number(values.seed));
  const rows: Row[] = [];
  for (const kind of ["full", "delta"] as const) {
    if (values.only !== undefined && values.only !== kind) continue;
    const coded = encodeModel(model, kind);
    for (const scene of SCENES) {
      const uplinkBytesPerSecond = uplink === 0 ? undefined : (uplink * MEGABYTE) / BITS;
      const result = await runSite(model, coded, { nodes, uplinkBytesPerSecond, scene });
      rows.push({ kind, scene, ...result });
      process.stderr.write(`${kind}, ${scene}: ${result.seconds.toFixed(1)} s\n`);
    }
  }
  process.stdout.write(
    `${nodes} nodes, model of ${mb(model.target.length)} MB, uplink ${uplink === 0 ? "unlimited" : `${uplink} Mbit/s`}\n${tableOf(rows)}\n`,
  );
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify(rows, undefined, 2)}\n`);
  const isRight = rows.every((row) => row.rightNodes === nodes && row.struckOthers === 0);
  if (!isRight) process.exitCode = 1;
}

function tableOf(rows: readonly Row[]): string {
  return tableText([
    [
      "sent as",
      "scene",
      "payload MB",
      "uplink MB",
      "x payload",
      "peers MB",
      "seconds",
      "CPU s",
      "right",
      "struck",
    ],
    ...rows.map((row) => [
      row.kind,
      row.scene,
      mb(row.payloadBytes),
      mb(row.uplinkBytes),
      (row.uplinkBytes / row.payloadBytes).toFixed(2),
      mb(row.peerBytes),
      row.seconds.toFixed(1),
      row.cpuSeconds.toFixed(1),
      String(row.rightNodes),
      String(row.struckLiar + row.struckOthers),
    ]),
  ]);
}

function mb(bytes: number): string {
  return (bytes / MEGABYTE).toFixed(2);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`error: ${messageOf(error)}\n${USAGE}\n`);
  process.exitCode = 2;
}
