import { open, realpath } from "node:fs/promises";
import { sep } from "node:path";
import { fileURLToPath } from "node:url";
import { systemCode } from "@flotilla/shared/platform/files";
import type { PriceSource, PriceText } from "../../app/pricing/ports.ts";

/** Longest time of one request, redirects and body together. */
export const PRICE_FETCH_MS_MAX = 10_000;
/** Largest price list, in bytes as it is sent before any compression is undone, and after. */
export const PRICE_LIST_BYTES_MAX: number = 2 * 1024 * 1024;
/** Most redirects that are followed. */
export const PRICE_REDIRECTS_MAX = 3;

/**
 * Price lists over HTTP and from files. Files lie in one directory of the hub, so that nobody who may write a profile reads
 * other files through it.
 */
export class UrlPriceSource implements PriceSource {
  readonly #directory: string;
  readonly #timeoutMs: number;

  constructor(options: { readonly directory: string; readonly timeoutMs?: number }) {
    this.#directory = options.directory;
    this.#timeoutMs = options.timeoutMs ?? PRICE_FETCH_MS_MAX;
  }

  async read(address: string, signal: AbortSignal): Promise<PriceText> {
    if (!URL.canParse(address)) return failed("FeedRefused", "priceAPI is no URL");
    const url = new URL(address);
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    try {
      return url.protocol === "file:"
        ? await this.#readFile(url)
        : await readHttp(url, AbortSignal.any([timeout, signal]));
    } catch (error) {
      if (timeout.aborted)
        return failed("FeedTimeout", `no price list within ${this.#timeoutMs} ms`);
      return failed("FeedUnreachable", `the price list cannot be read: ${codeOf(error)}`);
    }
  }

  async #readFile(url: URL): Promise<PriceText> {
    const path = await realpath(fileURLToPath(url));
    const directory = await realpath(this.#directory);
    if (!path.startsWith(directory + sep))
      return failed("FeedRefused", `price files are read from ${this.#directory} only`);
    const file = await open(path);
    try {
      const stat = await file.stat();
      if (!stat.isFile()) return failed("FeedRefused", "it is no file");
      if (stat.size > PRICE_LIST_BYTES_MAX) return tooLarge();
      const text = await file.readFile("utf8");
      return { kind: "text", text, format: path.endsWith(".csv") ? "csv" : "json" };
    } finally {
      await file.close();
    }
  }
}

async function readHttp(start: URL, signal: AbortSignal): Promise<PriceText> {
  let url = start;
  for (let redirects = 0; redirects <= PRICE_REDIRECTS_MAX; redirects++) {
    const refusal = refusedUrl(url, start);
    if (refusal !== undefined) return failed("FeedRefused", refusal);
    const headers = { accept: "application/json, text/csv" };
    const response = await fetch(url.href, { redirect: "manual", signal, headers });
    const location = response.headers.get("location");
    if (response.status >= 300 && response.status < 400 && location !== null) {
      await response.body?.cancel();
      if (!URL.canParse(location, url.href)) return failed("FeedRefused", "it redirects to no URL");
      url = new URL(location, url);
      continue;
    }
    if (!response.ok) {
      await response.body?.cancel();
      return failed("FeedRefused", `the feed answers ${response.status}`);
    }
    const text = await limitedText(response);
    if (text === undefined) return tooLarge();
    const isCsv = response.headers.get("content-type")?.includes("csv") ?? false;
    return { kind: "text", text, format: isCsv || url.pathname.endsWith(".csv") ? "csv" : "json" };
  }
  return failed("FeedRefused", `it redirects more than ${PRICE_REDIRECTS_MAX} times`);
}

/** Why an address is not asked. A redirect may not lead away from https. */
function refusedUrl(url: URL, start: URL): string | undefined {
  if (url.protocol !== "https:" && url.protocol !== "http:")
    return "it redirects to neither http nor https";
  if (start.protocol === "https:" && url.protocol === "http:")
    return "it redirects from https to http";
  if (url.username !== "" || url.password !== "")
    return "an address with a user or password is not asked";
  return undefined;
}

/** Undefined when there is more than PRICE_LIST_BYTES_MAX; what is more is not read. */
async function limitedText(response: Response): Promise<string | undefined> {
  const said = Number(response.headers.get("content-length") ?? 0);
  const chunks: Uint8Array[] = [];
  let byteCount = 0;
  if (response.body === null) return "";
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    byteCount += value.byteLength;
    if (byteCount > PRICE_LIST_BYTES_MAX || said > PRICE_LIST_BYTES_MAX) {
      await reader.cancel();
      return undefined;
    }
    chunks.push(value);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function tooLarge(): PriceText {
  return failed("FeedTooLarge", `the price list is larger than ${PRICE_LIST_BYTES_MAX} bytes`);
}

/** The system's code alone: messages of fetch may name proxies and addresses. */
function codeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return systemCode(error) ?? systemCode(cause) ?? "the connection broke off";
}

function failed(
  reason: Extract<PriceText, { kind: "failed" }>["reason"],
  message: string,
): PriceText {
  return { kind: "failed", reason, message };
}
