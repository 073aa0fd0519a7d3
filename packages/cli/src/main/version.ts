/** Version of this program, as it is released. `scripts/` keeps it equal to package.json by a test. */
export const CLI_VERSION = "0.1.0";
