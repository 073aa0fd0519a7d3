/**
 * Kubernetes resource quantities (apimachinery resource.Quantity): `250m`, `1.5`, `2Gi`, `4e3`.
 * CPU is used in thousandths of a core (milliCpu), everything else in whole units or bytes.
 */
const FACTOR: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

const QUANTITY =
  /^([+-]?(?:\d{1,19}(?:\.\d{0,9})?|\.\d{1,9}))(?:([eE][+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)$/;

/** The pattern of a quantity for schemas. Linear in the length of the text. */
export const QUANTITY_PATTERN: string = QUANTITY.source;

/** The number that a quantity stands for; undefined when it is none, negative or not finite. */
export function parseQuantity(value: string | number): number | undefined {
  const match = QUANTITY.exec(String(value));
  if (match === null) return undefined;
  const number = Number(`${match[1] ?? ""}${match[2] ?? ""}`) * (FACTOR[match[3] ?? ""] ?? 1);
  return Number.isFinite(number) && number >= 0 ? number : undefined;
}

/** Thousandths of a core, rounded up as Kubernetes does. */
export function parseMilliCpu(value: string | number): number | undefined {
  const cores = parseQuantity(value);
  return cores === undefined ? undefined : Math.ceil(Math.round(cores * 1e6) / 1e3);
}

/** Whole bytes, rounded up. */
export function parseBytes(value: string | number): number | undefined {
  const bytes = parseQuantity(value);
  return bytes === undefined ? undefined : Math.ceil(bytes);
}

/** Bytes in the largest binary unit that divides them, as Kubernetes prints them (`2Gi`, `1500Ki`, `7`). */
export function formatBytes(bytes: number): string {
  const units = ["", "Ki", "Mi", "Gi", "Ti", "Pi"];
  let value = Math.floor(bytes);
  let unit = 0;
  while (value !== 0 && value % 1024 === 0 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value}${units[unit]}`;
}

/** `1500` → `1500m`, `2000` → `2`. */
export function formatMilliCpu(milliCpu: number): string {
  return milliCpu % 1000 === 0 ? String(milliCpu / 1000) : `${milliCpu}m`;
}
