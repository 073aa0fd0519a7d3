import { describe, expect, test } from "vitest";
import { tufTools } from "../../platform/tuf.ts";
import { SimulatorClient, TufSimulator } from "../../testing/tuf-simulator.ts";

/** The cases of tuf-conformance's test_expiration.py, by their names. */

const tools = tufTools();
const newTest = () => {
  const repository = new TufSimulator({ tools });
  const client = new SimulatorClient({ repository, tools });
  client.init();
  return { repository, client };
};

describe("test_expiration", () => {
  test("test_root_expired", async () => {
    const { client, repository } = newTest();
    expect(await client.refresh()).toBe("accepted");
    repository.publish("root");
    expect(await client.refresh()).toBe("accepted");
    repository.lifeDays.set("root", -1);
    repository.publish("root", "targets", "snapshot", "timestamp");
    expect(await client.refresh()).toBe("metadata-expired");
    expect(client.versions()).toMatchObject({ root: 3, timestamp: 1, snapshot: 1 });
  });

  test.each([
    ["test_timestamp_expired", "timestamp", { root: 1, snapshot: 1, targets: 1, timestamp: 1 }],
    ["test_snapshot_expired", "snapshot", { root: 1, snapshot: 1, targets: 1, timestamp: 2 }],
    ["test_targets_expired", "targets", { root: 1, snapshot: 2, targets: 1, timestamp: 2 }],
  ])("%s", async (_name, role, trusted) => {
    const { client, repository } = newTest();
    expect(await client.refresh()).toBe("accepted");
    repository.lifeDays.set(role, -5);
    const roles = ["targets", "snapshot", "timestamp"];
    repository.publish(...roles.slice(roles.indexOf(role)));
    expect(await client.refresh()).toBe("metadata-expired");
    expect(client.versions()).toEqual(trusted);
  });

  test("test_expired_local_root", async () => {
    const { client, repository } = newTest();
    repository.lifeDays.set("root", 7);
    repository.publish("root");
    expect(await client.refresh()).toBe("accepted");
    repository.lifeDays.set("root", 21);
    repository.publish("root");
    expect(await client.refresh(18)).toBe("accepted");
    expect(client.version("root")).toBe(3);
  });

  test("test_expired_local_timestamp", async () => {
    const { client, repository } = newTest();
    repository.lifeDays.set("timestamp", 7);
    repository.publish("timestamp");
    expect(await client.refresh()).toBe("accepted");
    repository.lifeDays.set("timestamp", 21);
    repository.publish("targets", "snapshot", "timestamp");
    expect(await client.refresh(18)).toBe("accepted");
    expect(client.versions()).toEqual({ root: 1, snapshot: 2, targets: 2, timestamp: 3 });
  });
});
