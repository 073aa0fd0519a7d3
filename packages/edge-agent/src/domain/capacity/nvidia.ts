import type { Gpu, GpuUsage } from "@flotilla/shared/model/capacity";
import { parseTopology } from "./topology.ts";

/**
 * Understands `nvidia-smi`. Columns come and go between drivers, so they are asked for by the names that
 * `--help-query-gpu` lists and found again by the header, never by position. A value that the driver does not tell
 * (`[N/A]`, `[Not Supported]`, …) is absent, never zero.
 */

/** Columns that we read, in the vendor's names. */
export const WANTED_COLUMNS = [
  "index",
  "uuid",
  "name",
  "driver_version",
  "mig.mode.current",
  "memory.total",
  "memory.used",
  "utilization.gpu",
  "temperature.gpu",
  "power.draw",
] as const;

type Row = ReadonlyMap<string, string>;

/** Names that this driver's `--help-query-gpu` offers: lines that begin with a quoted name, alternatives joined by `or`. */
export function parseOfferedColumns(help: string): ReadonlySet<string> {
  const names = new Set<string>();
  for (const line of help.split("\n")) {
    if (!line.startsWith('"')) continue;
    for (const match of line.matchAll(/"([a-zA-Z0-9_.]+)"/g)) names.add(match[1] ?? "");
  }
  return names;
}

/** The wanted columns that are offered. When the help could not be read, all of them are tried. */
export function columnsToAsk(offered: ReadonlySet<string>): readonly string[] {
  return offered.size === 0 ? WANTED_COLUMNS : WANTED_COLUMNS.filter((c) => offered.has(c));
}

/** Rows of `--format=csv`: header `name [unit]`, cells divided by a comma and a space. */
export function parseCsv(csv: string): readonly Row[] {
  const [header, ...lines] = csv.split("\n").filter((line) => line.trim() !== "");
  const names = (header ?? "").split(",").map((cell) => cell.replace(/\[[^\]]*\]\s*$/, "").trim());
  return lines.map((line) => {
    const cells = line.split(",").map((cell) => cell.trim());
    return new Map(
      names.flatMap((name, i): [string, string][] =>
        tells(cells[i]) ? [[name, cells[i] ?? ""]] : [],
      ),
    );
  });
}

/** Texts of the vendor's tool beside the table of cards; empty when it did not answer. */
export interface CardTexts {
  /** `nvidia-smi -L`, which alone names MIG devices. */
  readonly list: string;
  /** `nvidia-smi topo -m`. */
  readonly topology: string;
}

/** Cards of the machine. */
export function toGpus(rows: readonly Row[], { list, topology }: CardTexts): Gpu[] {
  const mig = parseMigDevices(list);
  const placeOf = parseTopology(topology);
  return rows.flatMap((row, position): Gpu[] => {
    const uuid = row.get("uuid");
    const model = row.get("name");
    if (uuid === undefined || model === undefined) return [];
    const driverVersion = row.get("driver_version");
    const mode = row.get("mig.mode.current");
    const index = integer(row.get("index")) ?? position;
    const devices = mig.get(index) ?? [];
    return [
      {
        uuid,
        index,
        vendor: "nvidia",
        model,
        memoryBytes: mebibytes(row.get("memory.total")) ?? 0,
        ...(driverVersion === undefined ? {} : { driverVersion }),
        ...placeOf.get(index),
        ...(mode === undefined ? {} : { migEnabled: mode === "Enabled" }),
        ...(devices.length === 0 ? {} : { migDevices: devices }),
      },
    ];
  });
}

/** Whether a card is in MIG mode. */
export function hasMig(rows: readonly Row[]): boolean {
  return rows.some((row) => row.get("mig.mode.current") === "Enabled");
}

/** A text that changes when cards come or go, when MIG mode is switched, or when a card is cut into other MIG devices. */
export function identityOf(rows: readonly Row[], list: string): string {
  const cards = rows.map((row) => [row.get("uuid") ?? "", row.get("mig.mode.current") ?? ""]);
  const mig = [...parseMigDevices(list)].map(([card, devices]) => [
    card,
    devices.map(({ uuid, profile }) => [uuid, profile]),
  ]);
  return JSON.stringify([cards, mig]);
}

/** Load and health of each card. */
export function toGpuUsage(rows: readonly Row[]): GpuUsage[] {
  return rows.flatMap((row): GpuUsage[] => {
    const uuid = row.get("uuid");
    if (uuid === undefined) return [];
    const percent = number(row.get("utilization.gpu"));
    const memoryUsedBytes = mebibytes(row.get("memory.used"));
    const temperatureCelsius = number(row.get("temperature.gpu"));
    const powerWatts = number(row.get("power.draw"));
    return [
      {
        uuid,
        ...(percent === undefined
          ? {}
          : { utilizationRatio: Math.min(1, Math.max(0, percent / 100)) }),
        ...(memoryUsedBytes === undefined ? {} : { memoryUsedBytes }),
        ...(temperatureCelsius === undefined ? {} : { temperatureCelsius }),
        ...(powerWatts === undefined || powerWatts < 0 ? {} : { powerWatts }),
      },
    ];
  });
}

type MigDevice = NonNullable<Gpu["migDevices"]>[number];

/** MIG devices of `nvidia-smi -L` by index of their card. The profile's name tells its memory (`3g.40gb`). */
export function parseMigDevices(list: string): ReadonlyMap<number, MigDevice[]> {
  const devices = new Map<number, MigDevice[]>();
  let card = -1;
  for (const line of list.split("\n")) {
    const gpu = /^GPU (\d+):/.exec(line)?.[1];
    if (gpu !== undefined) card = Number(gpu);
    const mig = /^\s+MIG (\S+)\s+Device\s+\d+:\s+\(UUID: ([^)]+)\)/.exec(line);
    if (mig === null || card < 0) continue;
    const [, profile = "", uuid = ""] = mig;
    const gigabytes = /\.(\d+)gb/.exec(profile)?.[1];
    devices.set(card, [
      ...(devices.get(card) ?? []),
      {
        uuid,
        profile,
        ...(gigabytes === undefined ? {} : { memoryBytes: Number(gigabytes) * 2 ** 30 }),
      },
    ]);
  }
  return devices;
}

/** False for what stands in brackets or is empty: the driver does not tell. */
function tells(cell: string | undefined): boolean {
  return cell !== undefined && cell !== "" && cell !== "N/A" && !/^\[.*\]$/.test(cell);
}

function number(cell: string | undefined): number | undefined {
  const value = Number.parseFloat(cell ?? "");
  return Number.isFinite(value) ? value : undefined;
}

function integer(cell: string | undefined): number | undefined {
  const value = number(cell);
  return value !== undefined && Number.isInteger(value) && value >= 0 ? value : undefined;
}

function mebibytes(cell: string | undefined): number | undefined {
  const value = number(cell);
  return value === undefined || value < 0 ? undefined : Math.round(value * 2 ** 20);
}
