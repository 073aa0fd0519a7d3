import fc from "fast-check";
import { expect, test } from "vitest";
import { FrameLimit } from "./frame-limit.ts";

const packet = (length: number): number[] => {
  const digits: number[] = [];
  let rest = length;
  do {
    digits.push((rest % 128) + (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return [0x30, ...digits, ...Array.from({ length }, () => 0xff)];
};

test("however the bytes are cut, packets within the limit pass and the first beyond it does not", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 300 }), { maxLength: 6 }),
      fc.integer({ min: 1, max: 50 }),
      (lengths, cut) => {
        const limit = new FrameLimit({ bytesMax: 200 });
        const bytes = Uint8Array.from(lengths.flatMap(packet));
        let accepted = true;
        for (let at = 0; at < bytes.length && accepted; at += cut)
          accepted = limit.accepts(bytes.subarray(at, at + cut));
        expect(accepted).toBe(lengths.every((length) => length <= 200));
      },
    ),
    { seed: 42, numRuns: 300 },
  );
});

test("a length is judged before its body has come, and one of five digits never ends well", () => {
  expect(
    new FrameLimit({ bytesMax: 1024 }).accepts(Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0x7f)),
  ).toBe(false);
  expect(
    new FrameLimit({ bytesMax: 2 ** 40 }).accepts(
      Uint8Array.of(0x30, 0x80, 0x80, 0x80, 0x80, 0x01),
    ),
  ).toBe(false);
});
