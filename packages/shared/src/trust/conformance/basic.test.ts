import { describe, expect, test } from "vitest";
import { tufTools } from "../../platform/tuf.ts";
import { SimulatorClient, TufSimulator } from "../../testing/tuf-simulator.ts";
import type { SnapshotSigned } from "../shapes.ts";

/** The cases of tuf-conformance's test_basic.py, by their names. docs/trust.md lists those that do not apply, and why. */

const tools = tufTools();
const newTest = () => {
  const repository = new TufSimulator({ tools });
  return { repository, client: new SimulatorClient({ repository, tools }) };
};
const ALL = ["root", "targets", "snapshot", "timestamp"] as const;
const JUNK_SIGNATURE = "ab".repeat(64);

describe("test_basic", () => {
  test("test_basic_refresh_requests", async () => {
    const { client } = newTest();
    client.init();
    expect(await client.refresh()).toBe("accepted");
    expect(client.takeAsked()).toEqual([
      "2.root.json",
      "timestamp.json",
      "1.snapshot.json",
      "1.targets.json",
    ]);
  });

  test("test_basic_refresh_trusted_data", async () => {
    const { client, repository } = newTest();
    client.init();
    await client.refresh();
    for (const role of ALL) expect(client.file(role)).toEqual(repository.newest(role));
  });

  test("test_implicit_refresh", async () => {
    const { client, repository } = newTest();
    client.init();
    expect(await client.download("nonexistent")).toBe("target-not-released");
    expect(client.takeAsked()).toEqual([
      "2.root.json",
      "timestamp.json",
      "1.snapshot.json",
      "1.targets.json",
    ]);
    for (const role of ALL) expect(client.file(role)).toEqual(repository.newest(role));
  });

  test("test_invalid_initial_root", () => {
    const { client, repository } = newTest();
    repository.editServed("root", (root: { signed: { version?: number } }) => {
      delete root.signed.version;
    });
    expect(client.init()).toBe("metadata-malformed");
    expect(client.takeAsked()).toEqual([]);
  });

  test("test_unsigned_initial_root", () => {
    const { client, repository } = newTest();
    repository.editServed("root", (root: { signatures: { sig: string }[] }) => {
      for (const signature of root.signatures) signature.sig = JUNK_SIGNATURE;
    });
    expect(client.init()).toBe("metadata-unsigned");
    expect(client.takeAsked()).toEqual([]);
  });

  test.each([
    ["root", { root: 1 }],
    ["timestamp", { root: 2 }],
    ["snapshot", { root: 2, timestamp: 2 }],
    ["targets", { root: 2, snapshot: 2, timestamp: 2 }],
  ])("test_unsigned_metadata[%s]", async (role, trusted) => {
    const { client, repository } = newTest();
    client.init();
    repository.setKeys(role, [`${role}-1`], { signers: [] });
    repository.publish(...ALL);
    expect(await client.refresh()).toBe("metadata-unsigned");
    expect(client.versions()).toEqual(trusted);
  });

  test.each([
    ["root", { root: 1 }, "root-out-of-order"],
    ["snapshot", { root: 2, timestamp: 2 }, "metadata-mixed"],
    ["targets", { root: 2, snapshot: 2, timestamp: 2 }, "metadata-mixed"],
  ])("test_url_and_metadata_version_mismatch[%s]", async (role, trusted, code) => {
    const { client, repository } = newTest();
    client.init();
    const kind = role as "root" | "snapshot" | "targets";
    repository.edits.set(role, { [kind]: (signed: object) => ({ ...signed, version: 3 }) });
    repository.publish(...ALL);
    expect(await client.refresh()).toBe(code);
    expect(client.versions()).toEqual(trusted);
  });

  test("test_timestamp_content_changes", async () => {
    const { client, repository } = newTest();
    client.init();
    await client.refresh();
    client.takeAsked();
    const before = client.file("timestamp");
    repository.publish("snapshot");
    repository.setNextVersion("timestamp", 1);
    repository.publish("timestamp");
    expect(await client.refresh()).toBe("accepted");
    expect(client.takeAsked().at(-1)).toBe("timestamp.json");
    expect(client.file("timestamp")).toEqual(before);
  });

  test("test_basic_metadata_hash_support", async () => {
    const { client, repository } = newTest();
    client.init();
    repository.publish("targets", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("accepted");
  });

  test("test_targets_hash_mismatch", async () => {
    const { client, repository } = newTest();
    client.init();
    await client.refresh();
    repository.edits.set("snapshot", { snapshot: withWrongHash });
    repository.publish("targets", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("metadata-mixed");
    expect(client.versions()).toMatchObject({ snapshot: 2, targets: 1 });
  });

  test("test_snapshot_hash_mismatch", async () => {
    const { client, repository } = newTest();
    client.init();
    await client.refresh();
    repository.publish("snapshot");
    repository.edits.set("timestamp", {
      timestamp: (signed) => ({
        ...signed,
        meta: {
          "snapshot.json": {
            ...signed.meta["snapshot.json"],
            hashes: { sha256: "0".repeat(64) },
          },
        },
      }),
    });
    repository.publish("timestamp");
    expect(await client.refresh()).toBe("metadata-mixed");
    expect(client.versions()).toMatchObject({ snapshot: 1, timestamp: 2 });
  });

  test("test_metadata_bytes_match", async () => {
    const { client, repository } = newTest();
    client.init();
    let served = new Uint8Array();
    repository.replace("timestamp", (bytes) => {
      served = new Uint8Array([...bytes, 32]);
      return served;
    });
    expect(await client.refresh()).toBe("accepted");
    expect(client.file("timestamp")).toEqual(served);
  });

  test("test_custom_fields", async () => {
    const { client, repository } = newTest();
    client.init();
    await client.refresh();
    const strange = repository.key("root-2", { "extra-field": { a: 1, b: 2 } });
    repository.setKeysOf("root", [repository.key("root-1"), strange]);
    repository.edits.set("root", {
      root: (signed) => {
        const root = { ...signed.roles.root, "another-field": "value" };
        return { ...signed, "custom-field": "value", roles: { ...signed.roles, root } };
      },
    });
    repository.publish("root");
    expect(await client.refresh()).toBe("accepted");
    expect(client.version("root")).toBe(2);
  });

  test("test_deprecated_keyid_hash_algorithms", async () => {
    const { client, repository } = newTest();
    client.init();
    const key = repository.key("snapshot-2", { keyid_hash_algorithms: "md5" });
    repository.setKeysOf("snapshot", [key]);
    repository.publish("root", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("accepted");
    expect(client.versions()).toMatchObject({ root: 2, snapshot: 2 });
  });

  test("test_snapshot_404", async () => {
    const { client, repository } = newTest();
    client.init();
    await client.refresh();
    repository.publish("snapshot", "timestamp");
    repository.files.delete("2.snapshot.json");
    expect(await client.refresh()).toBe("metadata-missing");
    expect(client.takeAsked().at(-1)).toBe("2.snapshot.json");
    expect(client.versions()).toEqual({ root: 1, snapshot: 1, targets: 1, timestamp: 2 });
  });

  test("test_targets_404", async () => {
    const { client, repository } = newTest();
    client.init();
    await client.refresh();
    repository.publish("targets", "snapshot", "timestamp");
    repository.files.delete("2.targets.json");
    expect(await client.refresh()).toBe("metadata-missing");
    expect(client.takeAsked().at(-1)).toBe("2.targets.json");
    expect(client.versions()).toEqual({ root: 1, snapshot: 2, targets: 1, timestamp: 2 });
  });

  test("test_timestamp_404", async () => {
    const { client, repository } = newTest();
    client.init();
    await client.refresh();
    repository.files.delete("timestamp.json");
    expect(await client.refresh()).toBe("metadata-missing");
    expect(client.takeAsked().at(-1)).toBe("timestamp.json");
  });

  test("test_incorrect_metadata_type", async () => {
    const { client, repository } = newTest();
    client.init();
    repository.setKeys("snapshot", ["timestamp-1"]);
    repository.edits.set("snapshot", {
      snapshot: (signed) => ({
        ...signed,
        meta: { "snapshot.json": { version: 1, length: 1, hashes: { sha256: "0".repeat(64) } } },
      }),
    });
    repository.publish("root", "snapshot");
    repository.files.set("timestamp.json", repository.newest("snapshot"));
    expect(await client.refresh()).toBe("metadata-malformed");
    expect(client.versions()).toEqual({ root: 2 });
  });

  test("test_faketime", async () => {
    const { client, repository } = newTest();
    client.init();
    repository.lifeDays.set("root", 7);
    repository.publish("root");
    expect(await client.refresh()).toBe("accepted");
    expect(await client.refresh(8)).toBe("metadata-expired");
  });
});

function withWrongHash(signed: SnapshotSigned): SnapshotSigned {
  const meta = Object.entries(signed.meta).map(
    ([name, file]) => [name, { ...file, hashes: { sha256: "0".repeat(64) } }] as const,
  );
  return { ...signed, meta: Object.fromEntries(meta) };
}
