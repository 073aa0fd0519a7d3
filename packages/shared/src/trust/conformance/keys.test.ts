import { describe, expect, test } from "vitest";
import { tufTools } from "../../platform/tuf.ts";
import { SimulatorClient, TufSimulator } from "../../testing/tuf-simulator.ts";
import type { RootSigned } from "../shapes.ts";

/** The cases of tuf-conformance's test_keys.py, by their names. docs/trust.md lists those that do not apply, and why. */

const tools = tufTools();
const newTest = () => {
  const repository = new TufSimulator({ tools });
  const client = new SimulatorClient({ repository, tools });
  client.init();
  return { repository, client };
};

interface Signed {
  readonly signatures: { keyid: string; sig: string }[];
}

describe("test_keys", () => {
  test("test_snapshot_does_not_meet_threshold", async () => {
    const { client, repository } = newTest();
    const keys = ["snapshot-1", "snapshot-2", "snapshot-3"];
    repository.setKeys("snapshot", keys, { threshold: 3 });
    repository.publish("root", "targets", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("accepted");
    repository.setKeys("snapshot", keys, { threshold: 3, signers: keys.slice(1) });
    repository.publish("targets", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("metadata-unsigned");
    expect(client.version("snapshot")).toBe(2);
  });

  test("test_snapshot_has_too_few_keys", async () => {
    const { client, repository } = newTest();
    const keys = [1, 2, 3, 4, 5].map((n) => `snapshot-${n}`);
    repository.setKeys("snapshot", keys, { threshold: 6 });
    repository.publish("root", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("metadata-unsigned");
    expect(client.version("root")).toBe(2);
    expect(client.version("snapshot")).toBeUndefined();
  });

  test("test_duplicate_keys", async () => {
    const { client, repository } = newTest();
    repository.setKeys("snapshot", ["snapshot-2"], { threshold: 6 });
    repository.edits.set("root", {
      root: (signed) => {
        const { snapshot } = signed.roles;
        const keyids = Array.from({ length: 9 }, () => snapshot.keyids[0] ?? "");
        return { ...signed, roles: { ...signed.roles, snapshot: { ...snapshot, keyids } } };
      },
    });
    repository.publish("root", "snapshot", "timestamp");
    repository.editServed<Signed>("snapshot", ({ signatures }) => {
      const [first] = signatures;
      for (let i = 0; i < 8 && first !== undefined; i++) signatures.push(first);
    });
    expect(await client.refresh()).toBe("metadata-malformed");
    expect(client.versions()).toEqual({ root: 1 });
  });

  test("test_duplicate_sig_keyids", async () => {
    const { client, repository } = newTest();
    const twice = (role: string): void =>
      repository.editServed<Signed>(role, ({ signatures }) => {
        signatures.push(...signatures.slice(0, 1));
      });
    twice("timestamp");
    expect(await client.refresh()).toBe("metadata-malformed");
    expect(client.version("snapshot")).toBeUndefined();
  });

  test.each(["rsa/rsassa-pss-sha256", "ecdsa/ecdsa-sha2-nistp256"])(
    "test_keytype_and_scheme[%s] is refused",
    async (name) => {
      const { client, repository } = newTest();
      const [keytype, scheme] = name.split("/");
      repository.edits.set("root", {
        root: (signed) => {
          const key = { keytype, scheme, keyval: { public: "-----BEGIN PUBLIC KEY-----" } };
          const keys = { ...signed.keys, ["e".repeat(64)]: key };
          return { ...signed, keys } as unknown as RootSigned;
        },
      });
      repository.publish("root");
      expect(await client.refresh()).toBe("metadata-malformed");
      expect(client.version("root")).toBe(1);
    },
  );

  test("test_keytype_and_scheme[ed25519/ed25519]", async () => {
    const { client, repository } = newTest();
    repository.setKeys("root", ["root-1", "root-2"], { threshold: 2 });
    repository.publish("root");
    expect(await client.refresh()).toBe("accepted");
    expect(client.version("root")).toBe(2);
    repository.publish("root");
    const keyId = repository.key("root-2").keyId;
    repository.editServed<Signed>("root", ({ signatures }) => {
      for (const signature of signatures)
        if (signature.keyid === keyId) signature.sig = "b6".repeat(64);
    });
    expect(await client.refresh()).toBe("metadata-unsigned");
    expect(client.version("root")).toBe(2);
  });

  test("test_invalid_sig_in_valid_metadata", async () => {
    const { client, repository } = newTest();
    repository.setKeys("timestamp", ["timestamp-1", "timestamp-2"]);
    repository.publish("root", "timestamp");
    const keyId = repository.key("timestamp-1").keyId;
    const replaceBy = (sig: string): void =>
      repository.editServed<Signed>("timestamp", ({ signatures }) => {
        for (const signature of signatures) if (signature.keyid === keyId) signature.sig = sig;
      });
    replaceBy("b6".repeat(64));
    expect(await client.refresh()).toBe("accepted");
    repository.publish("timestamp");
    // What cannot be a signature is damage here, and not a signature that does not count.
    replaceBy("");
    expect(await client.refresh()).toBe("metadata-malformed");
  });
});
