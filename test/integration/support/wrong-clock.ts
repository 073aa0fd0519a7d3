import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./tree.ts";

const LIBRARIES = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(
  (triplet) => `/usr/lib/${triplet}/faketime/libfaketime.so.1`,
);

const library = LIBRARIES.find((path) => existsSync(path));

/** True where libfaketime is there. */
export const wallClockReachesOpenSsl: boolean = library !== undefined;

/**
 * Environment in which a process has another wall clock, of the form `2041-01-01 00:00:00`. With libfaketime (Debian:
 * faketime) all of it has, OpenSSL's judgement of certificates too; without, what JavaScript sees of it.
 */
export function wallClockOf(time: string): Readonly<Record<string, string>> {
  const preload = join(ROOT, "test/integration/support/date-shift.mjs");
  return library === undefined
    ? { FLOTILLA_TEST_DATE: `${time.replace(" ", "T")}Z`, NODE_OPTIONS: `--import ${preload}` }
    : {
        LD_PRELOAD: library,
        FAKETIME: `@${time}`,
        TZ: "UTC",
        // The boot and the monotonic clock are right on a device whose wall clock is wrong.
        FAKETIME_DONT_FAKE_MONOTONIC: "1",
        FAKETIME_NO_CACHE: "1",
      };
}
