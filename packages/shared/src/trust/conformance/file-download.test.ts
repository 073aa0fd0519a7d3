import { describe, expect, test } from "vitest";
import { tufTools } from "../../platform/tuf.ts";
import { SimulatorClient, TufSimulator } from "../../testing/tuf-simulator.ts";

/** The cases of tuf-conformance's test_file_download.py, by their names. docs/trust.md lists those that do not apply, and why. */

const tools = tufTools();
const newTest = () => {
  const repository = new TufSimulator({ tools });
  const client = new SimulatorClient({ repository, tools });
  client.init();
  return { repository, client };
};
const publish = (repository: TufSimulator): void =>
  repository.publish("targets", "snapshot", "timestamp");
const PATH = "target_file.txt";

describe("test_file_download", () => {
  test("test_client_downloads_expected_file", async () => {
    const { client, repository } = newTest();
    repository.addTarget("targets", PATH, "target file contents");
    publish(repository);
    expect(await client.refresh()).toBe("accepted");
    expect([...client.downloads]).toEqual([]);
    expect(await client.download(PATH)).toBe("accepted");
    expect([...client.downloads]).toEqual([[PATH, "target file contents"]]);
  });

  test("test_client_downloads_expected_file_in_sub_dir", async () => {
    const { client, repository } = newTest();
    repository.addTarget("targets", "path/to/a/target_file.txt", "target file contents");
    publish(repository);
    expect(await client.download("path/to/a/target_file.txt")).toBe("accepted");
    expect([...client.downloads.values()]).toEqual(["target file contents"]);
  });

  test("test_repository_substitutes_target_file", async () => {
    const { client, repository } = newTest();
    repository.addTarget("targets", PATH, "target file contents");
    repository.addTarget("targets", "another_target_file.txt", "content");
    publish(repository);
    expect(await client.download(PATH)).toBe("accepted");
    for (const path of [PATH, "another_target_file.txt"])
      repository.contents.set(path, "malicious data - should not download");
    expect(await client.download(PATH)).toBe("target-too-long");
    expect(await client.download("another_target_file.txt")).toBe("target-too-long");
    expect([...client.downloads.values()]).toEqual(["target file contents"]);
  });

  test("test_multiple_changes_to_target", async () => {
    const { client, repository } = newTest();
    for (let i = 0; i <= 10; i++) {
      repository.addTarget("targets", PATH, `modified file contents ${i}`);
      repository.addTarget("targets", `new-target-${i}`, `new file contents ${i}`);
      publish(repository);
      if (i % 5 !== 0) continue;
      expect(await client.download(PATH)).toBe("accepted");
      expect(await client.download(`new-target-${i}`)).toBe("accepted");
      repository.contents.set(
        PATH,
        `malicious contents!! ${i}`.padEnd(`modified file contents ${i}`.length),
      );
      publish(repository);
      expect(await client.download(PATH)).toBe("target-altered");
      expect(client.downloads.get(PATH)).toBe(`modified file contents ${i}`);
    }
  });

  test.each([
    ["sha256", (sha256: string) => ({ sha256 }), "accepted"],
    ["sha512", () => ({ sha512: "a".repeat(128) }), "metadata-malformed"],
    ["sha256, sha512", (sha256: string) => ({ sha256, sha512: "a".repeat(128) }), "accepted"],
  ])("test_download_with_hash_algorithms[%s]", async (_name, hashes, end) => {
    const { client, repository } = newTest();
    repository.addTarget("targets", PATH, "target file contents");
    const { length, sha256 } = repository.wanted(PATH);
    repository.edits.set("targets", {
      targets: (signed) => {
        const entry = { ...signed.targets[PATH], length, hashes: hashes(sha256) };
        return { ...signed, targets: { [PATH]: entry } } as typeof signed;
      },
    });
    publish(repository);
    expect(await client.download(PATH)).toBe(end);
  });

  test("test_download_with_unknown_hash_algorithm", async () => {
    const { client, repository } = newTest();
    repository.addTarget("targets", PATH, "target file contents");
    repository.edits.set("targets", {
      targets: (signed) => {
        const entry = { ...signed.targets[PATH], hashes: { "unknown-hash": "a".repeat(128) } };
        return { ...signed, targets: { [PATH]: entry } } as unknown as typeof signed;
      },
    });
    publish(repository);
    expect(await client.download(PATH)).toBe("metadata-malformed");
    expect([...client.downloads]).toEqual([]);
  });
});
