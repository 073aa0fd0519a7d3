import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tufTools } from "../platform/tuf.ts";
import { LAB_START_MS, TrustLab } from "../testing/trust-lab.ts";
import { namedKey } from "../testing/tuf-repository.ts";
import { decide } from "./decide.ts";
import { METADATA_VERSION_MAX, SNAPSHOT_FILES_MAX, TRUST_KEYS_MAX } from "./limits.ts";
import { openMetadata } from "./metadata.ts";
import { fileBytes, signedFile, targetsSigned } from "./publish.ts";
import { type MetadataKind } from "./shapes.ts";
import { matchesPathPattern } from "./target-path.ts";

const tools = tufTools();
const world = new TrustLab({ tools });
const textOf = (role: string): string => new TextDecoder().decode(world.repository.newest(role));
const codeOf = (kind: MetadataKind, text: string): string => {
  try {
    openMetadata(kind, { subject: kind, bytes: new TextEncoder().encode(text) }, tools);
    return "ok";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
};

describe("shapes", () => {
  test("what the repository writes is read", () => {
    for (const role of ["root", "timestamp", "snapshot", "targets"] as const)
      expect(codeOf(role, textOf(role))).toBe("ok");
    expect(codeOf("targets", textOf("releases"))).toBe("ok");
  });

  const META = `{"hashes":{"sha256":"${"a".repeat(64)}"},"length":1,"version":1}`;
  const ENTRY = `{"custom":{"artifact":"a","releaseCounter":1},"hashes":{"sha256":"${"a".repeat(64)}"},"length":1}`;

  test("entries as the ones below are read under a name that is allowed", () => {
    expect(
      codeOf("snapshot", textOf("snapshot").replace('"meta":{', `"meta":{"other.json":${META},`)),
    ).toBe("ok");
    expect(
      codeOf("targets", textOf("targets").replace('"targets":{', `"targets":{"a/b":${ENTRY}`)),
    ).toBe("ok");
  });

  const KEY = /"public":"([0-9a-f]{64})"/;
  test.each<[string, MetadataKind, (text: string) => string]>([
    [
      "a kind that is another",
      "timestamp",
      (t) => t.replace('"_type":"timestamp"', '"_type":"root"'),
    ],
    ["version 0", "timestamp", (t) => t.replace(/"version":\d+\}\}$/, '"version":0}}')],
    [
      "a version beyond METADATA_VERSION_MAX",
      "root",
      (t) => t.replace('"version":1}', `"version":${METADATA_VERSION_MAX + 1}}`),
    ],
    ["a specification of another major version", "root", (t) => t.replace('"1.0.34"', '"2.0.0"')],
    ["a specification version with an empty part", "root", (t) => t.replace('"1.0.34"', '"1."')],
    ["an expiry without a time", "root", (t) => t.replace(/"expires":"[^"]+"/, '"expires":"2030"')],
    [
      "an expiry in local time",
      "root",
      (t) => t.replace(/"expires":"[^"]+"/, '"expires":"2030-01-01T00:00:00+01:00"'),
    ],
    [
      "an expiry on the 32nd",
      "root",
      (t) => t.replace(/"expires":"[^"]+"/, '"expires":"2030-01-32T00:00:00Z"'),
    ],
    [
      "inconsistent snapshots",
      "root",
      (t) => t.replace('"consistent_snapshot":true', '"consistent_snapshot":false'),
    ],
    ["threshold 0", "root", (t) => t.replace('"threshold":2', '"threshold":0')],
    ["a role that is missing", "root", (t) => t.replace('"timestamp":{', '"timestomp":{')],
    ["an RSA key", "root", (t) => t.replace('"keytype":"ed25519"', '"keytype":"rsa"')],
    ["a key as PEM", "root", (t) => t.replace(KEY, '"public":"-----BEGIN PUBLIC KEY-----"')],
    [
      "a key in upper case",
      "root",
      (t) => t.replace(KEY, (_, hex: string) => `"public":"${hex.toUpperCase()}"`),
    ],
    ["a key under a foreign id", "root", (t) => t.replace(KEY, `"public":"${"7".repeat(64)}"`)],
    [
      "a signature with something behind it",
      "root",
      (t) => t.replace(/"sig":"([0-9a-f]{128})"/, '"sig":"$1zz"'),
    ],
    ["a signature that is short", "root", (t) => t.replace(/"sig":"[0-9a-f]{2}/, '"sig":"')],
    [
      "signatures that are no list",
      "root",
      (t) => t.replace(/"signatures":\[.*?\]/, '"signatures":{}'),
    ],
    [
      "another file in a timestamp",
      "timestamp",
      (t) => t.replace('"meta":{', `"meta":{"evil.json":${META},`),
    ],
    ["a snapshot entry without a digest", "snapshot", (t) => t.replace(/"hashes":\{[^}]+\},/, "")],
    [
      "a snapshot entry above its folder",
      "snapshot",
      (t) => t.replace('"releases.json"', '"../releases.json"'),
    ],
    [
      "a target above its folder",
      "targets",
      (t) => t.replace('"targets":{', `"targets":{"../x":${ENTRY}`),
    ],
    ["a hidden target", "targets", (t) => t.replace('"targets":{', `"targets":{"a/.ssh":${ENTRY}`)],
    [
      "a delegated role by the name of a top-level one",
      "targets",
      (t) => t.replace('"name":"releases"', '"name":"root"'),
    ],
    ["hash bins", "targets", (t) => t.replace('"paths":', '"path_hash_prefixes":["a"],"paths":')],
    ["a pattern with braces", "targets", (t) => t.replace('"agent/*/*"', '"{a,b}/*"')],
    ["a pattern that negates", "targets", (t) => t.replace('"agent/*/*"', '"!a"')],
  ])("%s is refused", (_, kind, alter) => {
    const text = textOf(kind).trim();
    const other = alter(text);
    expect(other).not.toBe(text);
    expect(codeOf(kind, other)).toBe("metadata-malformed");
  });

  test("more keys, signatures or files than the limits are refused", () => {
    const keys = Array.from({ length: TRUST_KEYS_MAX + 1 }, (_, i) => namedKey(`many-${i}`, tools));
    const dated = { version: 1, expiresMs: LAB_START_MS };
    const role = { name: "many", threshold: 1, paths: ["a/*"], isTerminating: true };
    const many = targetsSigned(dated, {}, [{ ...role, keys }]);
    const signatures = keys.map(({ keyId }) => ({ keyid: keyId, sig: "0".repeat(128) }));
    const plain = targetsSigned(dated, {});
    const snapshot = JSON.parse(textOf("snapshot"));
    for (let i = 0; i < SNAPSHOT_FILES_MAX; i++)
      snapshot.signed.meta[`r${i}.json`] = snapshot.signed.meta["targets.json"];
    expect([
      codeOf("targets", new TextDecoder().decode(fileBytes(many, []))),
      codeOf("targets", new TextDecoder().decode(fileBytes(plain, signatures))),
      codeOf("snapshot", JSON.stringify(snapshot)),
    ]).toEqual(["metadata-malformed", "metadata-malformed", "metadata-malformed"]);
  });

  test("keys for which anybody can sign are refused: points of small order, spellings beyond the field", () => {
    for (const weak of [
      "00".repeat(32),
      `01${"00".repeat(31)}`,
      `ed${"ff".repeat(30)}7f`,
      `ec${"ff".repeat(31)}`,
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ]) {
      const key = { keytype: "ed25519", scheme: "ed25519", keyval: { public: weak } } as const;
      const keys = [{ keyId: tools.keyIdOf(key), key }];
      const signed = targetsSigned({ version: 1, expiresMs: 0 }, {}, [
        { name: "weak", keys, threshold: 1, paths: ["a/*"], isTerminating: true },
      ]);
      expect(codeOf("targets", new TextDecoder().decode(fileBytes(signed, [])))).toBe(
        "metadata-malformed",
      );
    }
  });
});

describe("what the library leaves open", () => {
  const key = namedKey("mend", tools);
  const file = (bytes: Uint8Array) => openMetadata("targets", { subject: "t", bytes }, tools);

  test("a signature covers the document as it came, with fields that nobody knows", () => {
    const signed = {
      ...targetsSigned({ version: 1, expiresMs: LAB_START_MS }, {}),
      "x-note": "signed",
    };
    const bytes = signedFile("targets", signed, [key], tools);
    expect(file(bytes).signatures.isSignedBy(key.keyId, key.key)).toBe(true);
    const altered = new TextDecoder()
      .decode(bytes)
      .replace('"signed"}', '"forged"}')
      .replace('"x-note":"signed"', '"x-note":"forged"');
    expect(file(new TextEncoder().encode(altered)).signatures.isSignedBy(key.keyId, key.key)).toBe(
      false,
    );
  });

  test("a signature counts under its own id and key only", () => {
    const { signatures } = file(
      signedFile("targets", targetsSigned({ version: 1, expiresMs: 0 }, {}), [key], tools),
    );
    const other = namedKey("other", tools);
    expect([
      signatures.isSignedBy(key.keyId, key.key),
      signatures.isSignedBy(other.keyId, other.key),
      signatures.isSignedBy(key.keyId, other.key),
      signatures.isSignedBy("constructor", key.key),
    ]).toEqual([true, false, false, false]);
  });

  test("four thousand targets are read and checked in linear time", () => {
    const entry = {
      length: 1,
      hashes: { sha256: "a".repeat(64) },
      custom: { artifact: "a", releaseCounter: 1 },
    };
    const targets = Object.fromEntries(
      Array.from({ length: 4_000 }, (_, i) => [`models/a/${i}`, entry]),
    );
    const opened = file(
      signedFile("targets", targetsSigned({ version: 1, expiresMs: 0 }, targets), [key], tools),
    );
    expect(opened.signatures.isSignedBy(key.keyId, key.key)).toBe(true);
  });
});

test.each([
  ["models/a/1", "models/*/*", true],
  ["models/a", "models/*/*", false],
  ["models/a/b/1", "models/*/*", false],
  ["models/a", "models/?", true],
  ["models/ab", "models/?", false],
  ["abcab", "*ab", true],
  ["aXb", "a*b*", true],
  ["ab", "a**b", true],
  ["a", "b*", false],
  ["", "*", true],
])("path %s by pattern %s: %s", (path, pattern, expected) => {
  expect(matchesPathPattern(path, pattern)).toBe(expected);
});

test("a pattern matches as the regular expression of the same meaning", () => {
  const pattern = fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), maxLength: 8 });
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 10 }),
      pattern,
      (path, p) => {
        const regExp = new RegExp(`^${p.replaceAll("*", ".*").replaceAll("?", ".")}$`);
        expect(matchesPathPattern(path, p)).toBe(regExp.test(path));
      },
    ),
    { numRuns: 1000, seed: 31 },
  );
});

describe("fuzz", () => {
  const names = [
    "timestamp.json",
    "4.snapshot.json",
    "1.targets.json",
    "3.releases.json",
    "2.root.json",
  ];
  const lab = new TrustLab({ tools });
  lab.repository.publishRoot(lab.repository.keysOf("root"));
  lab.repository.publishOnline();
  const state = {
    ...lab.state,
    trusted: new Map([["root", lab.repository.files.get("1.root.json") as Uint8Array]]),
  };
  const offered = lab.repository.offer(lab.wanted(2), { revision: 9 });

  test("the unaltered files are accepted", () => {
    expect(decide(state, offered, LAB_START_MS, tools).kind).toBe("accepted");
    for (const name of names) expect(offered.metadata.get(name)).toBeInstanceOf(Uint8Array);
  });

  const signedOf = (bytes: Uint8Array): unknown =>
    JSON.parse(new TextDecoder().decode(bytes)).signed;
  const edit = fc.record({
    at: fc.nat(),
    byte: fc.nat({ max: 255 }),
    cut: fc.nat({ max: 3 }),
    isInsert: fc.boolean(),
  });
  test.each(names)("altered bytes of %s are refused with a code, and nothing crashes", (name) => {
    const original = offered.metadata.get(name) as Uint8Array;
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const bytes = [...original];
        for (const { at, byte, cut, isInsert } of edits)
          bytes.splice(at % bytes.length, cut, ...(isInsert || cut === 0 ? [byte] : []));
        const metadata = new Map([
          ...offered.metadata,
          ["3.root.json", "absent" as const],
          [name, Uint8Array.from(bytes)],
        ]);
        const decision = decide(state, { ...offered, metadata }, LAB_START_MS, tools);
        // White space, or a signature more than is needed, changes the text and not what is signed.
        const isHarmless = (): boolean =>
          isDeepStrictEqual(signedOf(Uint8Array.from(bytes)), signedOf(original));
        expect(decision.kind === "refused" || isHarmless()).toBe(true);
      }),
      { numRuns: 60, seed: 31 },
    );
  });

  test("any JSON in place of a signed part is refused with a code", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("root", "timestamp", "snapshot", "targets"),
        fc.json(),
        (kind, json) => {
          for (const text of [
            json,
            `{"signed":${json},"signatures":[]}`,
            `{"signed":{"_type":"${kind}","meta":${json},"keys":${json},"roles":${json}},"signatures":[]}`,
          ])
            expect(codeOf(kind, text)).toBe("metadata-malformed");
        },
      ),
      { numRuns: 150, seed: 31 },
    );
  });
});
