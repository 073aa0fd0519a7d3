import { expect, test } from "vitest";
import { tufTools } from "../../platform/tuf.ts";
import { SimulatorClient, TufSimulator } from "../../testing/tuf-simulator.ts";

/**
 * The cases of tuf-conformance's test_quoting_issues.py, by their names. A role whose name would have to be quoted is refused
 * here, with everything that delegates to it: nothing of such a name is asked for or stored.
 */

const tools = tufTools();

test.each(["?", "#", "/delegatedrole", "../delegatedrole"])(
  "test_unusual_role_name[%s] is refused",
  async (role) => {
    const repository = new TufSimulator({ tools });
    const client = new SimulatorClient({ repository, tools });
    client.init();
    repository.delegate("targets", role);
    repository.publish(role, "targets");
    repository.unlisted.add(role);
    repository.publish("snapshot", "timestamp");
    expect(await client.download("nonexistent")).toBe("metadata-malformed");
    expect(client.asked.every((file) => /^[a-z0-9.]+$/.test(file))).toBe(true);
    expect(client.versions()).toEqual({ root: 1, snapshot: 2, timestamp: 2 });

    repository.unlisted.clear();
    repository.publish("snapshot", "timestamp");
    expect(await client.refresh()).toBe("metadata-malformed");
    expect(client.version("snapshot")).toBe(2);
  },
);
