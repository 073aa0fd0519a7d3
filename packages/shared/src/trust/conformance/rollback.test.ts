import { describe, expect, test } from "vitest";
import { tufTools } from "../../platform/tuf.ts";
import { SimulatorClient, TufSimulator } from "../../testing/tuf-simulator.ts";

/** The cases of tuf-conformance's test_rollback.py, by their names. docs/trust.md lists those that do not apply, and why. */

const tools = tufTools();
const newTest = () => {
  const repository = new TufSimulator({ tools });
  const client = new SimulatorClient({ repository, tools });
  client.init();
  return { repository, client };
};

describe("test_rollback", () => {
  test("test_new_timestamp_version_rollback", async () => {
    const { client, repository } = newTest();
    repository.publish("timestamp");
    expect(await client.refresh()).toBe("accepted");
    expect(client.version("timestamp")).toBe(2);
    repository.setNextVersion("timestamp", 1);
    repository.publish("timestamp");
    expect(await client.refresh()).toBe("metadata-rolled-back");
    expect(client.version("timestamp")).toBe(2);
    expect(client.takeAsked().at(-1)).toBe("timestamp.json");
  });

  test("test_snapshot_rollback[with hashes]", async () => {
    const { client, repository } = newTest();
    repository.publish("snapshot", "timestamp");
    expect(await client.refresh()).toBe("accepted");
    repository.setNextVersion("snapshot", 1);
    repository.publish("snapshot", "timestamp");
    expect(await client.refresh()).toBe("metadata-rolled-back");
    expect(client.versions()).toMatchObject({ timestamp: 2, snapshot: 2 });
    expect(client.takeAsked().at(-1)).toBe("timestamp.json");
  });

  test("test_targets_role_removal", async () => {
    const { client, repository } = newTest();
    repository.delegate("targets", "delegated", { paths: ["delegatedpath/*"] });
    repository.publish("delegated", "targets", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("accepted");
    repository.unlisted.add("delegated");
    repository.publish("snapshot", "timestamp");
    expect(await client.refresh()).toBe("metadata-rolled-back");
    expect(client.version("snapshot")).toBe(2);
  });

  test("test_targets_fast_forward_recovery, by other keys of targets too", async () => {
    const { client, repository } = newTest();
    repository.delegate("targets", "delegated", { paths: ["delegatedpath/*"] });
    repository.publish("delegated");
    repository.setNextVersion("targets", 100);
    repository.publish("targets", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("accepted");
    expect(client.version("targets")).toBe(100);

    // With other keys of snapshot alone the role may go, and what its own key has signed does not go back.
    repository.setKeys("snapshot", ["snapshot-2"]);
    repository.setNextVersion("targets", 1);
    repository.unlisted.add("delegated");
    repository.publish("root", "targets", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("metadata-rolled-back");
    repository.setKeys("targets", ["targets-2"]);
    repository.setNextVersion("targets", 1);
    repository.publish("root", "targets", "snapshot", "timestamp");
    expect(await client.download("nonexistent")).toBe("target-not-released");
    expect(client.version("targets")).toBe(1);
  });

  test("test_new_snapshot_fast_forward_recovery", async () => {
    const { client, repository } = newTest();
    repository.setNextVersion("snapshot", 100);
    repository.publish("snapshot", "timestamp");
    expect(await client.refresh()).toBe("accepted");
    expect(client.version("snapshot")).toBe(100);
    repository.setKeys("snapshot", ["snapshot-2"]);
    repository.setKeys("timestamp", ["timestamp-2"]);
    repository.setNextVersion("snapshot", 1);
    repository.publish("root", "targets", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("accepted");
    expect(client.version("snapshot")).toBe(1);
  });

  test("test_new_timestamp_fast_forward_recovery", async () => {
    const { client, repository } = newTest();
    repository.setNextVersion("timestamp", 100);
    repository.publish("timestamp");
    expect(await client.refresh()).toBe("accepted");
    expect(client.version("timestamp")).toBe(100);
    repository.setKeys("timestamp", ["timestamp-2"]);
    repository.setNextVersion("timestamp", 1);
    repository.publish("root", "timestamp");
    expect(await client.refresh()).toBe("accepted");
    expect(client.version("timestamp")).toBe(1);
  });

  test("test_targets_rollback[with hashes]", async () => {
    const { client, repository } = newTest();
    repository.publish("targets", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("accepted");
    repository.setNextVersion("targets", 1);
    repository.publish("targets", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("metadata-rolled-back");
    expect(client.versions()).toMatchObject({ snapshot: 2, targets: 2 });
  });

  test.each(["snapshot", "timestamp"] as const)(
    "metadata without hashes, as in [basic], is refused in %s",
    async (role) => {
      const { client, repository } = newTest();
      const bare = <T extends { readonly meta: object }>(signed: T): T => {
        const meta = Object.keys(signed.meta).map((name) => [name, { version: 1 }] as const);
        return { ...signed, meta: Object.fromEntries(meta) };
      };
      repository.edits.set(role, { [role]: bare });
      repository.publish("snapshot", "timestamp");
      expect(await client.refresh()).toBe("metadata-malformed");
    },
  );
});
