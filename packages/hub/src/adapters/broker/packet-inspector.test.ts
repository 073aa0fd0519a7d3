import fc from "fast-check";
import { expect, test } from "vitest";
import { PacketInspector } from "./packet-inspector.ts";

const CONNECT = Buffer.from([0x10, 14, 0, 4, 77, 81, 84, 84, 4, 2, 0, 60, 0, 2, 110, 49]);

function publish(topic: string, payload: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from([0, topic.length]), Buffer.from(topic), payload]);
  const length: number[] = [];
  for (let left = body.length; ; left >>= 7) {
    length.push(left > 127 ? (left & 127) | 128 : left);
    if (left <= 127) break;
  }
  return Buffer.concat([Buffer.from([0x30, ...length]), body]);
}

function connected(): PacketInspector {
  const inspector = new PacketInspector();
  expect(inspector.inspect(CONNECT, 0)).toEqual({ kind: "connect", end: CONNECT.length });
  inspector.accept();
  return inspector;
}

/** Feeds the bytes in pieces; the packets that began, or the violation. */
function feed(inspector: PacketInspector, bytes: Buffer, sizes: readonly number[]): string {
  let packets = 0;
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    const found = inspector.inspect(bytes.subarray(at, at + size), 0);
    if (found.kind === "violation") return found.violation;
    if (found.kind === "pass") packets += found.packets;
    at += size;
  }
  return `${packets} packets`;
}

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });

test("what follows CONNECT is not judged before it is accepted", () => {
  const both = Buffer.concat([CONNECT, Buffer.from([0xc0, 0])]);
  expect(new PacketInspector().inspect(both, 0)).toEqual({ kind: "connect", end: CONNECT.length });
});

test("valid packets pass, wherever the stream is cut", () => {
  const topic = fc.stringMatching(/^[a-z0-9/]{1,12}$/).filter((t) => t.split("/").length <= 8);
  const payload = fc.uint8Array({ maxLength: 300 });
  const one = fc.oneof(
    fc
      .tuple(topic, payload)
      .map(([t, p]) => publish(t, p))
      .filter((p) => p.length > 4),
    fc.constant(Buffer.from([0xc0, 0])),
    fc.constant(Buffer.from([0x40, 2, 0, 1])),
    fc.constant(Buffer.from([0x82, 6, 0, 1, 0, 1, 97, 1])),
  );
  fc.assert(
    fc.property(fc.array(one, { maxLength: 20 }), sizes, (packets, cuts) => {
      expect(feed(connected(), Buffer.concat(packets), cuts)).toBe(`${packets.length} packets`);
    }),
    { seed: 42, numRuns: 300 },
  );
});

test("any bytes get the same judgement, wherever the stream is cut", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), sizes, (bytes, cuts) => {
      const data = Buffer.from(bytes);
      expect(feed(connected(), data, cuts)).toBe(feed(connected(), data, [data.length + 1]));
    }),
    { seed: 42, numRuns: 1000 },
  );
});

test("a body is never waited for when its header is refused", () => {
  const header = Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]);
  expect(connected().inspect(header.subarray(0, 4), 0)).toEqual({
    kind: "violation",
    violation: "packet-too-large",
  });
  expect(new PacketInspector().inspect(Buffer.from([0x10, 0xff, 0x7f]), 0)).toEqual({
    kind: "violation",
    violation: "packet-too-large",
  });
});
