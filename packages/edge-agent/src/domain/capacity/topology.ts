import { GPUS_MAX, type Gpu, type GpuTier } from "@flotilla/shared/model/capacity";

/** What `nvidia-smi topo -m` says of one card. */
export type CardTopology = Pick<Gpu, "numaNode" | "links">;

/** Escape sequences by which the tool underlines the header, into a pipe as well. */
const ESCAPES = new RegExp(`${String.fromCodePoint(27)}\\[[0-9;]*m`, "g");

/** Cells between two devices; SOC is what old drivers called SYS. */
const CELL = /^(?:X|NV\d+|PIX|PXB|PHB|NODE|SYS|SOC)$/;

const CARD = /^GPU(\d+)$/;

/** Closest first; of a tie between the two halves of the matrix the farther counts. */
const ORDER: readonly GpuTier[] = ["nvlink", "pcie", "numa", "system"];

/**
 * Reads the matrix: a header of cards and network cards, a row for each, cells as the legend explains them (`X`, `NV#`,
 * `PIX`, `PXB`, `PHB`, `NODE`, `SYS`), then CPU and NUMA affinity. A pair stands with the card of the lower index; pairs
 * across sockets, and what is not understood, are left out: they count as `system`. By index of the card.
 */
export function parseTopology(text: string): ReadonlyMap<number, CardTopology> {
  const lines = text.replaceAll(ESCAPES, "").split("\n").map(wordsOf);
  const at = lines.findIndex(([first = "", second = ""]) => CARD.test(first) && !CELL.test(second));
  const header = lines[at] ?? [];
  const cpuAt = header.indexOf("CPU");
  const columns = cpuAt < 0 ? header : header.slice(0, cpuAt);
  const cards = columns.map(cardIndexOf);
  const hasNuma = header.includes("NUMA");
  const found = new Map<number, { numaNode?: number; tiers: Map<number, GpuTier> }>();
  for (const [name = "", ...cells] of at < 0 ? [] : lines.slice(at + 1)) {
    const row = cardIndexOf(name);
    if (row === undefined || cells.length < columns.length || found.has(row)) continue;
    const numa = hasNuma ? wholeOf(cells[columns.length + 1]) : undefined;
    found.set(row, {
      tiers: new Map(
        cards.flatMap((card, i): [number, GpuTier][] =>
          card === undefined || card === row ? [] : [[card, tierOf(cells[i] ?? "")]],
        ),
      ),
      ...(numa === undefined ? {} : { numaNode: numa }),
    });
  }
  return new Map(
    [...found].map(([card, { numaNode, tiers }]): [number, CardTopology] => {
      const links = [...tiers]
        .filter(([other]) => other > card && found.has(other))
        .map(([index, tier]) => ({ index, tier: farther(tier, found.get(index)?.tiers.get(card)) }))
        .filter((link) => link.tier !== "system")
        .slice(0, GPUS_MAX);
      return [
        card,
        {
          ...(numaNode === undefined ? {} : { numaNode }),
          ...(links.length === 0 ? {} : { links }),
        },
      ];
    }),
  );
}

function wordsOf(line: string): readonly string[] {
  return line.split(/\s+/).filter((word) => word !== "");
}

function cardIndexOf(name: string): number | undefined {
  const digits = CARD.exec(name)?.[1];
  const index = Number(digits);
  return digits !== undefined && index <= 1024 ? index : undefined;
}

function tierOf(cell: string): GpuTier {
  if (/^NV\d+$/.test(cell)) return "nvlink";
  if (cell === "PIX" || cell === "PXB") return "pcie";
  if (cell === "PHB" || cell === "NODE") return "numa";
  return "system";
}

function farther(a: GpuTier, b: GpuTier | undefined): GpuTier {
  return ORDER[Math.max(ORDER.indexOf(a), b === undefined ? 0 : ORDER.indexOf(b))] ?? "system";
}

/** `0`, not `0-1` (both) or `N/A`. */
function wholeOf(word: string | undefined): number | undefined {
  return word !== undefined && /^\d{1,4}$/.test(word) && Number(word) <= 1024
    ? Number(word)
    : undefined;
}
