import { closeSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import type { EncodeInput } from "@flotilla/shared/delta/encode-types";
import {
  type DeltaManifest,
  payloadLengthOf,
  readManifest,
  writeManifest,
} from "@flotilla/shared/delta/envelope";
import { decoderMemoryBytes } from "@flotilla/shared/delta/memory";
import type { RandomAccess } from "@flotilla/shared/delta/random-access";
import { layoutOf } from "@flotilla/shared/delta/weights/detect";
import type { TensorPlace } from "@flotilla/shared/delta/weights/layout";
import { tfjsLayout } from "@flotilla/shared/delta/weights/layout-tfjs";
import { applyDelta } from "@flotilla/shared/platform/delta/apply";
import type { NativeBsdiff } from "@flotilla/shared/platform/delta/bsdiff";
import { encodeDeltaFully } from "@flotilla/shared/platform/delta/encode";
import { FileAccess } from "@flotilla/shared/platform/delta/file-access";
import type { EncodedDelta, EncodeRequest } from "../../app/artifact/ports.ts";
import { SMALL_MEMORY_BYTES } from "../../domain/artifact/choice.ts";
import { madePathOf } from "./leftovers.ts";

/** Largest description of a model's weights that is read: 16 MiB. */
const LAYOUT_BYTES_MAX: number = 16 * 1024 * 1024;

/**
 * Makes one delta, or one whole file, in this thread: CPU-seconds at a stretch. It counts as made when decoding it gives the target
 * again. Throws, and leaves nothing behind, when it does not.
 */
export async function encodeJob(
  request: EncodeRequest,
  bsdiff: NativeBsdiff,
): Promise<EncodedDelta> {
  const madePath = madePathOf(request.payloadPath);
  try {
    const manifest = await encodeTo(request, bsdiff);
    // What is checked is what nodes will read.
    const parsed = readManifest(manifest);
    using payload = new FileAccess(request.payloadPath);
    const source = {
      read: (offset: number, length: number) => Promise.resolve(payload.read(offset, length)),
    };
    await applyDelta(
      { manifest: parsed, basePath: request.basePath, targetPath: madePath, firstBlock: 0 },
      source,
      () => {},
    );
    return {
      manifest,
      baseSha256: parsed.base && hexOf(parsed.base.sha256),
      targetSha256: hexOf(parsed.target.sha256),
      payloadBytes: payloadLengthOf(parsed),
      decoderMemoryBytes: decoderMemoryBytes(parsed),
      codecBytes: codecBytesOf(parsed),
    };
  } catch (error) {
    rmSync(request.payloadPath, { force: true });
    throw error;
  } finally {
    rmSync(madePath, { force: true });
  }
}

function codecBytesOf({ map, blocks }: DeltaManifest): Readonly<Record<string, number>> {
  const bytes: Record<string, number> = map === undefined ? {} : { program: map.length };
  for (const { codec, payloadLength } of blocks) bytes[codec] = (bytes[codec] ?? 0) + payloadLength;
  return bytes;
}

async function encodeTo(request: EncodeRequest, bsdiff: NativeBsdiff): Promise<Uint8Array> {
  using base = request.basePath === undefined ? undefined : new FileAccess(request.basePath);
  using target = new FileAccess(request.targetPath);
  const { profile } = request;
  const input: EncodeInput = {
    base,
    target,
    layouts: {
      old: base === undefined ? [] : layoutFor(request, base, request.baseLayoutPath),
      new: layoutFor(request, target, request.layoutPath),
    },
    profile: profile === "slow" ? "slow" : "fast",
    memoryBytesMax: profile === "small" ? SMALL_MEMORY_BYTES : undefined,
    codecs: profile === "plain" ? ["stored"] : undefined,
  };
  const payload = openSync(request.payloadPath, "wx", 0o600);
  try {
    const manifest = await encodeDeltaFully(input, bsdiff, (bytes) => {
      for (let done = 0; done < bytes.length; ) done += writeSync(payload, bytes, done);
    });
    return writeManifest(manifest);
  } finally {
    closeSync(payload);
  }
}

/** Where weights lie in a file. A file that is not what its format says is coded as any other. */
function layoutFor(
  { format, fileName }: EncodeRequest,
  file: RandomAccess,
  layoutPath: string | undefined,
): readonly TensorPlace[] {
  switch (format) {
    case "program":
    case "config":
    case "tar":
      return [];
    case "tfjs":
      return layoutPath === undefined ? [] : tfjsLayoutOf(layoutPath, fileName);
    case "onnx":
    case "safetensors":
    case "gguf":
    case "raw":
      return layoutOf(file);
  }
}

function tfjsLayoutOf(path: string, fileName: string): readonly TensorPlace[] {
  if (statSync(path).size > LAYOUT_BYTES_MAX) return [];
  return tfjsLayout(readFileSync(path, "utf8"), fileName) ?? [];
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
