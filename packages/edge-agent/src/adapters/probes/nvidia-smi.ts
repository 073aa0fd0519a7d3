import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import type { Gpu, GpuUsage } from "@flotilla/shared/model/capacity";
import {
  columnsToAsk,
  hasMig,
  identityOf,
  parseCsv,
  parseOfferedColumns,
  toGpus,
  toGpuUsage,
} from "../../domain/capacity/nvidia.ts";

/** A driver that hangs must not hold the readings of everything else. */
const NVIDIA_SMI_TIMEOUT_MS = 5_000;
/** Largest answer that is read. */
const NVIDIA_SMI_BYTES_MAX = 4 * 1024 * 1024;
/** Where the tool lies, in this order: distribution packages, containers, Windows subsystem. */
export const NVIDIA_SMI_PATHS: readonly string[] = [
  "/usr/bin/nvidia-smi",
  "/usr/local/nvidia/bin/nvidia-smi",
  "/opt/nvidia/bin/nvidia-smi",
  "/usr/lib/wsl/lib/nvidia-smi",
];

/** Cards, and a text that is another one when cards or MIG devices are. */
export interface GpuCards {
  readonly gpus: Gpu[];
  readonly identity: string;
}

/** Load of the cards, and the same text. */
export interface GpuLook {
  readonly usage: GpuUsage[];
  readonly identity: string;
}

/** NVIDIA cards through the vendor's tool, run asynchronously by absolute path and without a shell. */
export class NvidiaSmi {
  readonly #paths: readonly string[];
  readonly #log: Log;
  #tool: string | undefined;
  #columns: readonly string[] | undefined;
  #complained = false;

  constructor(options: { readonly paths?: readonly string[] }, deps: { readonly log: Log }) {
    this.#paths = options.paths ?? NVIDIA_SMI_PATHS;
    this.#log = deps.log;
  }

  /** Cards with their MIG devices and links; none when there is no tool, undefined when it fails. */
  async cards(): Promise<GpuCards | undefined> {
    const read = await this.#rows();
    if (read === undefined)
      return this.#tool === undefined ? { gpus: [], identity: "" } : undefined;
    const { rows, list } = read;
    // A single card has nobody to be linked with.
    const topology = rows.length < 2 ? "" : ((await this.#run(["topo", "-m"])) ?? "");
    return { gpus: toGpus(rows, { list, topology }), identity: identityOf(rows, list) };
  }

  /** One look at the cards; undefined when there is no tool or it fails, so that "no cards" and "not told" stay apart. */
  async look(): Promise<GpuLook | undefined> {
    const read = await this.#rows();
    if (read === undefined) return undefined;
    return { usage: toGpuUsage(read.rows), identity: identityOf(read.rows, read.list) };
  }

  /** The table of cards, and where MIG is on the list that alone names MIG devices. */
  async #rows(): Promise<{ rows: ReturnType<typeof parseCsv>; list: string } | undefined> {
    const csv = await this.#query();
    if (csv === undefined) return undefined;
    const rows = parseCsv(csv);
    if (!hasMig(rows)) return { rows, list: "" };
    const list = await this.#run(["-L"]);
    return list === undefined ? undefined : { rows, list };
  }

  async #query(): Promise<string | undefined> {
    this.#tool ??= await firstExecutable(this.#paths);
    if (this.#tool === undefined) return undefined;
    this.#columns ??= columnsToAsk(
      parseOfferedColumns((await this.#run(["--help-query-gpu"])) ?? ""),
    );
    return this.#run([`--query-gpu=${this.#columns.join(",")}`, "--format=csv"]);
  }

  async #run(args: readonly string[]): Promise<string | undefined> {
    const tool = this.#tool;
    if (tool === undefined) return undefined;
    try {
      const text = await execute(tool, args);
      this.#complained = false;
      return text;
    } catch (error) {
      if (!this.#complained)
        this.#log.warn(
          { tool, args, error: messageOf(error) },
          "nvidia-smi failed; GPU readings are absent",
        );
      this.#complained = true;
      return undefined;
    }
  }
}

async function firstExecutable(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not here: the next place is tried, and a machine without the tool has no NVIDIA card to report.
    }
  }
  return undefined;
}

function execute(file: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = {
      timeout: NVIDIA_SMI_TIMEOUT_MS,
      killSignal: "SIGKILL" as const,
      maxBuffer: NVIDIA_SMI_BYTES_MAX,
    };
    execFile(file, [...args], options, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
}
