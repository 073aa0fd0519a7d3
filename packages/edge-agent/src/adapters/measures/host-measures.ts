import { open, readdir, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import type { MeasureProbe, ProbeAddress } from "../../app/measures/ports.ts";

/** Size of one write of the disk probe, bytes: a page, as databases write. */
export const DISK_PROBE_BLOCK_BYTES = 4_096;
/** Most writes of the disk probe. They go to the same block: no more than 4 KiB is ever taken. */
export const DISK_PROBE_WRITES_MAX = 64;
/** Longest disk probe; a write that is under way is finished. */
export const DISK_PROBE_MS_MAX = 500;
/** Fewest writes that make a figure. */
const DISK_PROBE_WRITES_MIN = 4;
const MEGABIT = 1e6;

/** Measures this machine: links through /sys, the disk by writing to it, other places by connecting to them. */
export class HostMeasures implements MeasureProbe {
  readonly #stateDir: string;
  readonly #root: string;

  constructor(options: { readonly stateDir: string; readonly root?: string }) {
    this.#stateDir = options.stateDir;
    this.#root = options.root ?? "/";
  }

  /** Of the links with a device behind them: those that the kernel makes up have made-up speeds. */
  async linkSpeed(): Promise<number | undefined> {
    const folder = join(this.#root, "sys/class/net");
    const names = await readdir(folder).catch((): string[] => []);
    const speeds = await Promise.all(names.map((name) => speedOf(join(folder, name))));
    const known = speeds.filter((speed) => speed !== undefined);
    return known.length === 0 ? undefined : Math.max(...known);
  }

  async diskWritesPerSecond(): Promise<number | undefined> {
    const path = join(this.#stateDir, "disk-probe");
    try {
      const file = await open(path, "w", 0o600);
      try {
        const block = Buffer.alloc(DISK_PROBE_BLOCK_BYTES, 0x5a);
        // The first write makes the file grow, which costs more than the writes after it.
        await file.write(block, 0, block.length, 0);
        await file.datasync();
        const startMs = performance.now();
        let writes = 0;
        let tookMs = 0;
        while (writes < DISK_PROBE_WRITES_MAX && tookMs < DISK_PROBE_MS_MAX) {
          await file.write(block, 0, block.length, 0);
          await file.datasync();
          writes += 1;
          tookMs = performance.now() - startMs;
        }
        if (writes < DISK_PROBE_WRITES_MIN || !(tookMs > 0)) return undefined;
        return Math.max(1, Math.round((writes / tookMs) * 1_000));
      } finally {
        await file.close();
        await rm(path, { force: true });
      }
    } catch {
      return undefined;
    }
  }

  connectMs(
    { host, port }: ProbeAddress,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    return new Promise((resolve) => {
      if (signal.aborted) {
        resolve(undefined);
        return;
      }
      const startMs = performance.now();
      const socket = connect({ host, port });
      const limit = setTimeout(() => end(undefined), timeoutMs);
      const onAbort = (): void => end(undefined);
      const end = (ms: number | undefined): void => {
        clearTimeout(limit);
        signal.removeEventListener("abort", onAbort);
        socket.destroy();
        resolve(ms);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      socket.on("error", () => end(undefined));
      socket.once("connect", () => end(performance.now() - startMs));
    });
  }
}

/** Undefined for a link that is down, virtual, or does not tell: then the kernel says -1, or refuses the read. */
async function speedOf(folder: string): Promise<number | undefined> {
  const read = (name: string): Promise<string | undefined> =>
    readFile(join(folder, name), "utf8").then(
      (text) => text.trim(),
      () => undefined,
    );
  const [device, state, speed] = await Promise.all([
    readdir(join(folder, "device")).catch(() => undefined),
    read("operstate"),
    read("speed"),
  ]);
  const megabits = Number(speed);
  if (device === undefined || state !== "up" || !Number.isInteger(megabits) || megabits <= 0)
    return undefined;
  return megabits * MEGABIT;
}
