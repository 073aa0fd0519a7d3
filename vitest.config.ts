import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["packages/*/src/**/*.test.ts", "bench/**/*.test.ts"],
          // Properties count their runs and not their seconds: a busy machine is no failure.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "integration",
          include: ["packages/*/test/**/*.test.ts", "test/integration/**/*.test.ts"],
          globalSetup: ["test/integration/support/build-programs.ts"],
          pool: "forks",
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: { name: "simulator", include: ["test/simulator/**/*.test.ts"], testTimeout: 120_000 },
      },
    ],
  },
});
