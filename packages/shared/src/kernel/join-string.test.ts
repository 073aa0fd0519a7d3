import fc from "fast-check";
import { expect, test } from "vitest";
import { formatJoinString, parseJoinString, splitJoinToken } from "./join-string.ts";

const fingerprint = "ab".repeat(32);
const secret = "s3cret_s3cret-s3cret";
const good = `flotilla://hub.example:8443/join-1.${secret}#sha256:${fingerprint}`;

test("a join string gives the API's address, the token and the CA's fingerprint", () => {
  expect(parseJoinString(good)).toEqual({
    apiUrl: "https://hub.example:8443",
    token: `join-1.${secret}`,
    caFingerprint: fingerprint,
  });
});

test("white space around it and a fingerprint in capitals are accepted", () => {
  const text = ` flotilla://[::1]:8443/a.b.${secret}#sha256:${fingerprint.toUpperCase()}\n`;
  expect(parseJoinString(text)).toEqual({
    apiUrl: "https://[::1]:8443",
    token: `a.b.${secret}`,
    caFingerprint: fingerprint,
  });
});

test("what is written is read back the same", () => {
  const label = fc.stringMatching(/^[a-z0-9]{1,20}$/);
  const part = fc.record({
    name: fc.array(label, { minLength: 1, maxLength: 3 }).map((l) => l.join(".")),
    secret: fc.stringMatching(/^[A-Za-z0-9_-]{16,64}$/),
    port: fc.integer({ min: 1, max: 65_535 }),
  });
  fc.assert(
    fc.property(part, (p) => {
      const text = formatJoinString({
        apiAddress: `10.0.0.1:${p.port}`,
        tokenName: p.name,
        secret: p.secret,
        caFingerprint: fingerprint,
      });
      expect(parseJoinString(text)).toEqual({
        apiUrl: `https://10.0.0.1:${p.port}`,
        token: `${p.name}.${p.secret}`,
        caFingerprint: fingerprint,
      });
      expect(splitJoinToken(`${p.name}.${p.secret}`)).toEqual({ name: p.name, secret: p.secret });
    }),
    { seed: 42, numRuns: 200 },
  );
});

test.each([
  ["", "look like"],
  ["https://hub:1/a.b#sha256:00", "look like"],
  [good.replace("#sha256", "#md5"), "look like"],
  [good.slice(0, -1), "look like"],
  [good.replace(":8443", ""), "host:port"],
  [good.replace(":8443", ":0"), "host:port"],
  [good.replace(":8443", ":70000"), "host:port"],
  [good.replace("hub.example", "hub_example"), "host:port"],
  [good.replace("hub.example", "user@hub.example"), "look like"],
  [good.replace(`join-1.${secret}`, "join-1"), "<name>.<secret>"],
  [good.replace("join-1.", "JOIN."), "<name>.<secret>"],
  [`${good}${"x".repeat(2000)}`, "look like"],
])("%j is refused with the part that is wrong", (text, part) => {
  const parsed = parseJoinString(text);
  expect(parsed).toHaveProperty("error");
  expect(JSON.stringify(parsed)).toContain(part);
  expect(JSON.stringify(parsed)).not.toContain(secret);
});
