import { BlockDecoder, DecoderModels } from "@flotilla/shared/delta/decode";
import { encoding } from "@flotilla/shared/delta/encode";
import type { EncodeInput } from "@flotilla/shared/delta/encode-types";
import { type DeltaManifest, readManifest, writeManifest } from "@flotilla/shared/delta/envelope";
import { type CopyStep, Matcher } from "@flotilla/shared/delta/program/matcher";
import { inMemory } from "@flotilla/shared/delta/random-access";
import { rawLayout } from "@flotilla/shared/delta/weights/detect";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { Random } from "@flotilla/shared/kernel/random";
import { nodeCompressor, nodeDigests } from "@flotilla/shared/platform/delta/node-compressor";

const DEPS = { compressor: nodeCompressor, digests: nodeDigests, models: new DecoderModels() };

/** A good delta, the base that it needs and the target that it makes. */
export interface Specimen {
  readonly name: string;
  readonly base: Uint8Array;
  readonly target: Uint8Array;
  readonly manifest: DeltaManifest;
  readonly payload: Uint8Array;
}

/** One small delta of each codec. */
export function specimens(random: Random): readonly Specimen[] {
  const floats = floatPair(random);
  const program = programPair(random);
  const module = modulePair(random);
  const text = textPair(random);
  const none = { old: [], new: [] };
  const asProgram = { layouts: none, profile: "fast", codecs: ["program"] } as const;
  const raw = (type: "f32" | "i8", size: number): EncodeInput["layouts"] => ({
    old: rawLayout(type, size),
    new: rawLayout(type, size),
  });
  return [
    specimen("weights fast", floats, { layouts: raw("f32", floats.base.length), profile: "fast" }),
    specimen("weights slow", floats, { layouts: raw("f32", floats.base.length), profile: "slow" }),
    specimen("weights int8", floats, { layouts: raw("i8", floats.base.length), profile: "fast" }),
    specimen("program", program, { ...asProgram, steps: stepsOf(program) }),
    specimen("module", module, { ...asProgram, steps: stepsOf(module) }),
    specimen("bsdiff", program, { layouts: none, profile: "fast", codecs: ["bsdiff"] }),
    specimen("text", text, { layouts: none, profile: "fast" }),
    specimen("full", { ...text, full: true }, { layouts: none, profile: "fast" }),
    specimen(
      "full weights",
      { ...floats, full: true },
      { layouts: raw("f32", floats.base.length), profile: "fast" },
    ),
  ];
}

interface FilePair {
  readonly base: Uint8Array;
  readonly target: Uint8Array;
  readonly full?: boolean;
}

/** Small files get no copy map of their own accord. */
const stepsOf = (pair: FilePair): readonly CopyStep[] =>
  new Matcher(pair.base).steps(pair.target, 20);

function specimen(
  name: string,
  pair: FilePair,
  how: Pick<EncodeInput, "layouts" | "profile" | "codecs" | "steps">,
): Specimen {
  const parts: Uint8Array[] = [];
  const base = pair.full ? undefined : inMemory(pair.base);
  const input = { base, target: inMemory(pair.target), ...how };
  const work = encoding(input, DEPS, (bytes) => parts.push(bytes));
  let state = work.next();
  // The decoder does not know who found the steps: what the native bsdiff finds, this does too.
  while (state.done !== true)
    state = work.next(new Matcher(state.value.base).steps(state.value.target, 0));
  return {
    name,
    base: pair.full ? new Uint8Array(0) : pair.base,
    target: pair.target,
    manifest: state.value,
    payload: Buffer.concat(parts),
  };
}

function floatPair(random: Random): FilePair {
  const old = Float32Array.from({ length: 600 }, () => random.unit("weight") - 0.5);
  const fresh = old.map((w) =>
    random.unit("changed") < 0.8 ? w + (random.unit("step") - 0.5) * 1e-4 : w,
  );
  return { base: new Uint8Array(old.buffer), target: new Uint8Array(fresh.buffer) };
}

/** An ARM64 ELF of a few functions that call each other; in the target they lie elsewhere. */
function programPair(random: Random): FilePair {
  const build = (shift: number): Uint8Array => {
    const code = 0x1000;
    const words = 2000;
    const bytes = new Uint8Array(code + 4 * words);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 0x7f454c46);
    bytes.set([2, 1], 4);
    view.setUint16(18, 183, true);
    view.setBigUint64(32, 64n, true);
    view.setUint16(54, 56, true);
    view.setUint16(56, 1, true);
    view.setUint32(64, 1, true);
    view.setUint32(68, 5, true);
    for (const [at, value] of [
      [72, 0],
      [80, 0x400000],
      [96, bytes.length],
      [104, bytes.length],
    ] as const)
      view.setBigUint64(at, BigInt(value), true);
    for (let i = 0; i < words; i++) {
      const moved = i >= words / 2 ? i - shift : i;
      const callee = (moved * 7919) % words;
      const target = callee >= words / 2 ? callee + shift : callee;
      const call = (0x94000000 | ((target - i) & 0x3ffffff)) >>> 0;
      view.setUint32(
        code + 4 * i,
        moved % 9 === 0 ? call : (0x91000000 | ((moved * 2_654_435_761) & 0x3fffff)) >>> 0,
        true,
      );
    }
    return bytes;
  };
  const target = build(1 + Math.floor(random.unit("shift") * 5));
  for (let i = 0; i < 30; i++)
    target.set(random.bytes(2, "patch"), 0x1000 + Math.floor(random.unit("at") * 7000));
  target.set(random.bytes(100, "new"), 0x2000);
  return { base: build(0), target };
}

/** A WebAssembly module of one long function; in the target its callees, addresses and locals have other numbers. */
function modulePair(random: Random): FilePair {
  const number = (value: number): readonly number[] => [
    (value & 127) | 128,
    ((value >> 7) & 127) | 128,
    (value >> 14) & 63,
  ];
  const choices = Array.from({ length: 1600 }, () => Math.floor(random.unit("code") * 300_000));
  const build = (shift: number): Uint8Array => {
    const body = choices.flatMap((choice, i) => {
      const value = 20_000 + (choice % 200_000);
      const moved = value >= 90_000 ? value + shift : value;
      if (i % 4 === 0) return [0x10, ...number(moved)];
      if (i % 4 === 1) return [0x41, ...number(moved)];
      if (i % 4 === 2) return [0x28, 2, ...number(moved)];
      return [0x20, (choice + shift) & 63, 0x44, 1, 2, 3, 4, 5, 6, 7, choice & 127];
    });
    return Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 10, ...number(body.length), ...body);
  };
  const target = build(3);
  target.set(random.bytes(100, "new"), 3000);
  for (let i = 0; i < 40; i++)
    target.set(random.bytes(2, "patch"), 100 + Math.floor(random.unit("at") * 8000));
  return { base: build(0), target };
}

function textPair(random: Random): FilePair {
  const lines = Array.from(
    { length: 120 },
    (_, i) => `setting-${i}: ${Math.floor(random.unit("value") * 1e6)}`,
  );
  const changed = lines.with(60, "setting-60: changed");
  return { base: Buffer.from(lines.join("\n")), target: Buffer.from(changed.join("\n")) };
}

export type Outcome = "refused" | "same bytes" | "wrong bytes" | "crash";

/**
 * Alters a delta as somebody could who may sign payloads but not targets: digests of what is altered are made to fit, so
 * that every byte reaches the decoders. Refusal with a delta code is right, the very target is right, all else is not.
 */
export function tryMutant(of: Specimen, random: Random): { outcome: Outcome; error: unknown } {
  try {
    const { manifest, payload } = mutate(of, random);
    return { outcome: decodeAll(of, readManifest(manifest), payload), error: undefined };
  } catch (error) {
    const expected = error instanceof CodedError && String(error.code).startsWith("delta-");
    return { outcome: expected ? "refused" : "crash", error };
  }
}

function decodeAll(of: Specimen, manifest: DeltaManifest, payload: Uint8Array): Outcome {
  let at = manifest.map?.length ?? 0;
  const decoder = new BlockDecoder(
    { manifest, base: inMemory(of.base), map: manifest.map && payload.subarray(0, at) },
    DEPS,
  );
  const blocks = manifest.blocks.map((block, i) => {
    const bytes = decoder.decode(i, payload.subarray(at, at + block.payloadLength));
    at += block.payloadLength;
    return bytes;
  });
  return Buffer.concat(blocks).equals(of.target) ? "same bytes" : "wrong bytes";
}

function mutate(of: Specimen, random: Random): { manifest: Uint8Array; payload: Uint8Array } {
  if (random.unit("where") < 0.3)
    return { manifest: altered(writeManifest(of.manifest), random), payload: of.payload };
  const payload = altered(of.payload, random);
  return { manifest: writeManifest(fitting(of.manifest, payload)), payload };
}

/** The manifest with lengths and digests of another payload; what the target must be stays. */
function fitting(manifest: DeltaManifest, payload: Uint8Array): DeltaManifest {
  let at = Math.min(manifest.map?.length ?? 0, payload.length);
  const map = manifest.map && { length: at, sha256: nodeDigests.sha256(payload.subarray(0, at)) };
  const blocks = manifest.blocks.map((block, i) => {
    const end =
      i === manifest.blocks.length - 1
        ? payload.length
        : Math.min(payload.length, at + block.payloadLength);
    const bytes = payload.subarray(at, end);
    at = end;
    return { ...block, payloadLength: bytes.length, payloadSha256: nodeDigests.sha256(bytes) };
  });
  return { ...manifest, map, blocks };
}

function altered(bytes: Uint8Array, random: Random): Uint8Array {
  const whole = (limit: number, label: string): number => Math.floor(random.unit(label) * limit);
  const out = Uint8Array.from(bytes);
  switch (whole(5, "way")) {
    case 0:
      return out.subarray(0, whole(out.length + 1, "cut"));
    case 1:
      return Buffer.concat([out, random.bytes(1 + whole(40, "more"), "tail")]);
    case 2: {
      // Lengths of 2^63 and other extremes.
      const extreme =
        random.unit("extreme") < 0.5
          ? [255, 255, 255, 255, 255, 255, 255, 255, 255, 1]
          : [128, 128, 128, 128, 128, 128, 128, 128, 0];
      const place = whole(out.length, "place");
      out.set(extreme.slice(0, out.length - place), place);
      return out;
    }
    default: {
      for (let n = whole(4, "flips") + 1; n > 0; n--) {
        const at =
          random.unit("front") < 0.5
            ? whole(Math.min(64, out.length), "near")
            : whole(out.length, "far");
        out[at] = (out[at] ?? 0) ^ (1 << whole(8, "bit"));
      }
      return out;
    }
  }
}
