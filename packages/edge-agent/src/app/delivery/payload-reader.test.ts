import { CodedError } from "@flotilla/shared/kernel/errors";
import { nodeDigests } from "@flotilla/shared/platform/delta/node-compressor";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { expect, test } from "vitest";
import { orderOfMembers } from "../../domain/delivery/peer-order.ts";
import type { ByteRequest } from "../artifact/ports.ts";
import { Bandwidth } from "./bandwidth.ts";
import { Crowd, FOLLOWED_MS_MAX, type StrikeReason } from "./crowd.ts";
import { PayloadReader } from "./payload-reader.ts";
import type { PeerSource, RangeSource } from "./ports.ts";
import { SLICE_MIN_BYTES } from "./slice-size.ts";

const BLOCK = 4 * SLICE_MIN_BYTES;
const PAYLOAD = Uint8Array.from({ length: 2 * BLOCK }, (_, i) => (i * 31) ^ (i >> 8));
const PATH = "payloads/p";

const MANIFEST = {
  base: undefined,
  target: { size: PAYLOAD.length, sha256: nodeDigests.sha256(PAYLOAD) },
  map: undefined,
  blocks: [0, BLOCK].map((start) => {
    const bytes = PAYLOAD.subarray(start, start + BLOCK);
    const sha256 = nodeDigests.sha256(bytes);
    return {
      codec: "stored" as const,
      targetLength: BLOCK,
      payloadLength: BLOCK,
      payloadSha256: sha256,
      targetSha256: sha256,
      ranges: [],
    };
  }),
};

type Read = (request: ByteRequest) => Promise<Uint8Array>;

const right: Read = async ({ offset, length }) => PAYLOAD.slice(offset, offset + length);
const wrong: Read = async ({ offset, length }) =>
  PAYLOAD.slice(offset, offset + length).map((b) => b ^ 1);

function failing(code: string): Read {
  return () => Promise.reject(new CodedError(code, code));
}

/** Works so many times, then fails. */
function breaking(read: Read, times: number, code: string): Read {
  let left = times;
  return (request) => {
    left -= 1;
    return left >= 0 ? read(request) : failing(code)(request);
  };
}

function source(name: string, read: Read): RangeSource {
  return {
    name,
    rangeBytesMax: SLICE_MIN_BYTES,
    rangesAtATime: 1,
    read,
    readWhole: () => Promise.resolve("absent"),
  };
}

function peer(node: string, read: Read, isBehind: boolean): PeerSource {
  const bytes = isBehind ? 0 : PAYLOAD.length;
  return {
    ...source(`peer ${node}`, read),
    node,
    progress: () => Promise.resolve({ availableBytes: bytes, receivedBytes: bytes }),
    readWhenThere: read,
  };
}

function setUp(
  hub: Read,
  peers: Readonly<Record<string, Read>> = {},
  { isBehind = false }: { readonly isBehind?: boolean } = {},
) {
  const clock = new ManualClock();
  const metrics = new RecordingMetrics();
  const log = silentLog();
  const struck: { readonly node: string; readonly reason: StrikeReason }[] = [];
  const names = Object.keys(peers);
  const crowd =
    names.length === 0
      ? undefined
      : new Crowd(
          {
            path: PATH,
            ownNode: "own",
            peers: names.map((node) => ({ node, host: "h", port: 1 })),
          },
          {
            clock,
            log,
            metrics,
            sources: {
              peer: ({ node }) => peer(node, peers[node] ?? failing("source-absent"), isBehind),
            },
            onStruck: (one) => struck.push(one),
          },
        );
  const reader = new PayloadReader(
    { path: PATH, manifest: MANIFEST },
    {
      route: { present: () => source("hub", hub) },
      crowd,
      kept: undefined,
      bandwidth: new Bandwidth({ bytesPerSecond: undefined }, { clock }),
      digests: nodeDigests,
      gate: () => Promise.resolve(),
      onReceived: () => undefined,
      clock,
      random: new SeededRandom(1),
      log,
      metrics,
    },
    new AbortController().signal,
  );
  const read = async (offset: number): Promise<Uint8Array> => {
    let isSettled = false;
    const reading = reader.read(offset, BLOCK).finally(() => {
      isSettled = true;
    });
    reading.catch(() => undefined);
    for (let turn = 0; turn < 3_000 && !isSettled; turn++) await clock.advance(500);
    return reading;
  };
  return { reader, read, struck, metrics, clock };
}

test("what one source gave before it broke is kept, and another gives the rest", async () => {
  let asked = 0;
  const counted: Read = (request) => {
    asked += 1;
    return right(request);
  };
  const { read, struck } = setUp(counted, { p: breaking(right, 3, "source-too-slow") });
  expect(await read(0)).toEqual(PAYLOAD.slice(0, BLOCK));
  expect(asked).toBe(1);
  expect(struck).toEqual([{ node: "p", reason: "stalled" }]);
});

test("of a piece of several sources that is wrong the one that lied is found", async () => {
  // Both break in the middle; the first gave what is wrong, the second what is right.
  const { read, struck, metrics } = setUp(right, {
    a: breaking(wrong, 2, "source-unreachable"),
    b: breaking(right, 1, "source-unreachable"),
  });
  expect(await read(0)).toEqual(PAYLOAD.slice(0, BLOCK));
  expect(struck.filter((s) => s.reason === "lied")).toEqual([{ node: "a", reason: "lied" }]);
  expect(metrics.total("flotilla_agent_artifact_blocks_refused_total", { source: "peer" })).toBe(1);
});

test("when every peer lies the hub has the last word, and each is asked once", async () => {
  const { read, struck } = setUp(right, { a: wrong, b: wrong, c: wrong });
  expect(await read(0)).toEqual(PAYLOAD.slice(0, BLOCK));
  expect(struck.map((s) => s.node).toSorted()).toEqual(["a", "b", "c"]);
  expect(await read(BLOCK)).toEqual(PAYLOAD.slice(BLOCK));
  expect(struck).toHaveLength(3);
});

test("a hub that lies, alone, ends the try; with a peer that does not, it costs time", async () => {
  const alone = setUp(wrong);
  await expect(alone.read(0)).rejects.toMatchObject({ code: "source-misbehaves" });
  const withPeer = setUp(wrong, { p: right });
  expect(await withPeer.read(0)).toEqual(PAYLOAD.slice(0, BLOCK));
});

test("a hub that fails for good ends the try with its error, after waits that grow", async () => {
  const { read, clock, metrics } = setUp(failing("source-unreachable"));
  await expect(read(0)).rejects.toMatchObject({ code: "source-unreachable" });
  expect(clock.bootMs()).toBeGreaterThan(10_000);
  const labels = { source: "hub", code: "source-unreachable" };
  expect(metrics.total("flotilla_agent_artifact_source_failures_total", labels)).toBeGreaterThan(5);
});

test("a file that the hub has no more is no reason to ask again", async () => {
  const { read, clock } = setUp(failing("source-absent"));
  await expect(read(0)).rejects.toMatchObject({ code: "source-absent" });
  expect(clock.bootMs()).toBeLessThan(2_000);
});

test("a peer that always says that it gets on, and gives nothing, is struck off in the end", async () => {
  let received = 0;
  const boasting: Read = () => {
    received += 1;
    return Promise.reject(
      new CodedError("source-not-yet", "later", {
        fields: { availableBytes: 0, receivedBytes: received },
      }),
    );
  };
  // One that comes before this node in the order, so that it is waited for.
  const name = Array.from({ length: 100 }, (_, i) => `peer-${i}`).find(
    (node) => orderOfMembers(PATH, ["own", node])[0] === node,
  );
  const { read, struck, clock } = setUp(right, { [name ?? ""]: boasting }, { isBehind: true });
  expect(await read(0)).toEqual(PAYLOAD.slice(0, BLOCK));
  expect(struck).toEqual([{ node: name, reason: "stalled" }]);
  expect(clock.bootMs()).toBeLessThan(2 * FOLLOWED_MS_MAX);
});
