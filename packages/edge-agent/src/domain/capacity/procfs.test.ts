import fc from "fast-check";
import { expect, test } from "vitest";
import {
  allowedMilliCpu,
  cpuRatio,
  hottestCelsius,
  parseCpuTimes,
  parseMemory,
  parseNetwork,
  parsePressure,
} from "./procfs.ts";

const STAT = "cpu  100 0 50 800 50 0 0 0 30 0\ncpu0 100 0 50 800 50 0 0 0 30 0\nintr 1\n";

test("I/O wait is idle time and guest time is not counted twice", () => {
  expect(parseCpuTimes(STAT)).toEqual({ busy: 150, total: 1000 });
});

test("the CPU ratio is over the time between two readings, and is unknown when none has passed", () => {
  expect(cpuRatio({ busy: 100, total: 1000 }, { busy: 150, total: 1100 })).toBe(0.5);
  expect(cpuRatio({ busy: 100, total: 1000 }, { busy: 100, total: 1000 })).toBeUndefined();
});

test("used memory is what a new workload could not get", () => {
  expect(parseMemory("MemTotal:  1000 kB\nMemFree: 100 kB\nMemAvailable:  600 kB\n")).toEqual({
    totalBytes: 1_024_000,
    availableBytes: 614_400,
  });
  expect(parseMemory("nothing here")).toBeUndefined();
});

test("loopback and container interfaces are not counted", () => {
  const text = [
    "Inter-|   Receive                                                |  Transmit",
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed",
    "    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0",
    "  eth0: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0",
    "veth12: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0",
    " wlan0:  10 1 0 0 0 0 0 0  20 1 0 0 0 0 0 0",
  ].join("\n");
  expect(parseNetwork(text)).toEqual({ receivedBytes: 110, transmittedBytes: 220 });
});

test("pressure is absent on a kernel without PSI and a ratio elsewhere", () => {
  expect(parsePressure({})).toBeUndefined();
  expect(parsePressure({ cpu: "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\n" })).toEqual({
    cpuRatio: 0.125,
  });
});

test("a sensor that shows nonsense is left out", () => {
  expect(hottestCelsius(["45000", "61000\n", "-274000", "0", "", "abc"])).toBe(61);
  expect(hottestCelsius(["-274000"])).toBeUndefined();
});

test("a cgroup quota lowers the CPU capacity and never raises it", () => {
  expect(allowedMilliCpu(4, undefined)).toBe(4000);
  expect(allowedMilliCpu(4, "max 100000")).toBe(4000);
  expect(allowedMilliCpu(4, "150000 100000")).toBe(1500);
  expect(allowedMilliCpu(4, "-1 100000")).toBe(4000);
  expect(allowedMilliCpu(1, "900000 100000")).toBe(1000);
});

test("no text whatever makes a parser throw or give a number that is not finite", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const numbers = [
        ...Object.values(parseCpuTimes(text) ?? {}),
        ...Object.values(parseMemory(text) ?? {}),
        ...Object.values(parseNetwork(text)),
        ...Object.values(parsePressure({ cpu: text }) ?? {}),
        hottestCelsius([text]) ?? 0,
        allowedMilliCpu(2, text),
      ];
      expect(numbers.every(Number.isFinite)).toBe(true);
    }),
    { seed: 42 },
  );
});
