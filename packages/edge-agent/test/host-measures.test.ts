import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { HostMeasures } from "../src/adapters/measures/host-measures.ts";

const signal = new AbortController().signal;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "measures-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const measures = (): HostMeasures => new HostMeasures({ stateDir: directory, root: directory });

function link(
  name: string,
  speed: string,
  options: { state?: string; device?: boolean } = {},
): void {
  const folder = join(directory, "sys/class/net", name);
  mkdirSync(options.device === false ? folder : join(folder, "device"), { recursive: true });
  writeFileSync(join(folder, "operstate"), `${options.state ?? "up"}\n`);
  writeFileSync(join(folder, "speed"), `${speed}\n`);
}

test("the link's speed is that of the fastest one with a device that is up and tells it", async () => {
  expect(await measures().linkSpeed()).toBeUndefined();
  link("docker0", "100000", { device: false });
  link("eth1", "10000", { state: "down" });
  link("wlan0", "-1");
  link("odd", "fast");
  expect(await measures().linkSpeed()).toBeUndefined();
  link("eth0", "1000");
  link("eth2", "100");
  expect(await measures().linkSpeed()).toBe(1e9);
});

test("the disk is measured by writing to it, and nothing is left behind", async () => {
  const writes = await measures().diskWritesPerSecond();
  expect(writes ?? 1).toBeGreaterThan(0);
  expect(readdirSync(directory)).toEqual([]);
  const gone = new HostMeasures({ stateDir: join(directory, "none") });
  expect(await gone.diskWritesPerSecond()).toBeUndefined();
});

test("a connection takes some time, a port that nobody listens on is lost, a stop ends the wait", async () => {
  const server = createServer((socket) => socket.on("error", () => undefined));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  const target = { host: "127.0.0.1", port };
  expect(await measures().connectMs(target, 5_000, signal)).toBeGreaterThan(0);
  await new Promise((resolve) => server.close(resolve));
  expect(await measures().connectMs(target, 5_000, signal)).toBeUndefined();
  expect(await measures().connectMs(target, 5_000, AbortSignal.abort())).toBeUndefined();
  // An address of documentation (RFC 5737): nobody answers there.
  expect(await measures().connectMs({ host: "192.0.2.1", port: 9 }, 20, signal)).toBeUndefined();
});
