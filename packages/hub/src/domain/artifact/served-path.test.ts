import { expect, test } from "vitest";
import { parseServedPath } from "./served-path.ts";

const SHA = "0123456789abcdef".repeat(4);

test.each(["blobs", "payloads", "manifests"] as const)("%s are served by their digest", (kind) => {
  expect(parseServedPath(`${kind}/${SHA}`)).toEqual({ kind, sha256: SHA });
});

test.each(["timestamp.json", "12.snapshot.json", "3.releases-north.json", "1.root.json"])(
  "metadata/%s is a file of trust metadata",
  (file) => {
    expect(parseServedPath(`metadata/${file}`)).toEqual({ kind: "metadata", file });
  },
);

test.each([
  "",
  "/",
  "payloads",
  "payloads/",
  `payloads/${SHA}/`,
  `payloads//${SHA}`,
  `payloads/${SHA.toUpperCase().replace("0", "A")}`,
  `payloads/${SHA}.manifest`,
  `payloads/${SHA.slice(1)}`,
  `payloads/${SHA}0`,
  `payloads/${SHA}\n`,
  `uploads/${SHA}`,
  `../${SHA}`,
  "metadata/../hub.db",
  "metadata/..",
  "metadata/..json",
  "metadata/.json",
  "metadata/%2e%2e%2fhub.json",
  "metadata/a\\b.json",
  "metadata/a\0.json",
  "metadata/store.key",
  `metadata/${"a".repeat(124)}.json`,
  "__proto__/x",
])("%j is not there", (path) => {
  expect(parseServedPath(path)).toBeUndefined();
});
