import { expect, test } from "vitest";
import { ByteWriter } from "../../delta/bytes.ts";
import { BlockDecoder } from "../../delta/decode.ts";
import { encodeDelta } from "../../delta/encode.ts";
import type { DeltaManifest } from "../../delta/envelope.ts";
import { MAX_MAP_BYTES } from "../../delta/limits.ts";
import { copyMapOf, OldToNew } from "../../delta/program/copy-map.ts";
import { readProgramMap, writeProgramMap } from "../../delta/program/program-map.ts";
import { NO_WASM_MAPS } from "../../delta/program/wasm-coder.ts";
import { inMemory } from "../../delta/random-access.ts";
import { nodeCompressor, nodeDigests } from "./node-compressor.ts";

const DEPS = { compressor: nodeCompressor, digests: nodeDigests };
const OLD = Buffer.from("a: 1\n".repeat(500));

function made(): { manifest: DeltaManifest; payload: Buffer } {
  const parts: Uint8Array[] = [];
  const input = {
    base: inMemory(OLD),
    target: inMemory(Buffer.concat([OLD, Buffer.from("b: 2\n")])),
    layouts: { old: [], new: [] },
    profile: "fast",
  } as const;
  const manifest = encodeDelta(input, DEPS, (bytes) => parts.push(bytes));
  return { manifest, payload: Buffer.concat(parts) };
}

// An altered size of the base made reads beyond its end, which ended in an error without a code.
test.each([OLD.length + 1, OLD.length - 1, 0, 2 ** 35])(
  "a manifest that names a base of %i bytes is refused before anything is read of the one at hand",
  (size) => {
    const { manifest } = made();
    const altered = { ...manifest, base: { size, sha256: new Uint8Array(32) } };
    expect(
      () => new BlockDecoder({ manifest: altered, base: inMemory(OLD), map: undefined }, DEPS),
    ).toThrow(expect.objectContaining({ code: "delta-wrong-base" }));
  },
);

test("a block that does not exist, and a program without its map, are refused", () => {
  const { manifest, payload } = made();
  const decoder = new BlockDecoder({ manifest, base: inMemory(OLD), map: undefined }, DEPS);
  expect(() => decoder.decode(1, payload)).toThrow("there is no block 1");
  const program = {
    ...manifest,
    blocks: manifest.blocks.map((b) => ({ ...b, codec: "program" as const })),
  };
  expect(() =>
    new BlockDecoder({ manifest: program, base: inMemory(OLD), map: undefined }, DEPS).decode(
      0,
      payload,
    ),
  ).toThrow("needs a map");
});

test("a map longer than a decoder takes is neither made nor read, and none unpacks to more than it says", () => {
  const steps = Math.ceil(MAX_MAP_BYTES / 3);
  const copies = copyMapOf(Array.from({ length: steps }, () => ({ from: 0, copied: 0, added: 1 })));
  const map = {
    architecture: "none",
    old: [],
    new: [],
    copies,
    starts: new Float64Array(0),
    places: new OldToNew(copyMapOf([])),
    wasm: NO_WASM_MAPS,
  } as const;
  expect(writeProgramMap(map, nodeCompressor)).toBeUndefined();
  const sizes = { base: 10, target: 10 };
  const long = new ByteWriter();
  long.varint(MAX_MAP_BYTES + 1);
  expect(() => readProgramMap(long.view(), sizes, nodeCompressor)).toThrow("length of the map");
  const bomb = new ByteWriter();
  bomb.varint(1000);
  bomb.bytes(nodeCompressor.brotli(new Uint8Array(1_000_000), "generic"));
  expect(() => readProgramMap(bomb.view(), sizes, nodeCompressor)).toThrow(
    "delta: compressed bytes",
  );
});
