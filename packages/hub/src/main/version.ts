/** Version of the hub, shown by `/version` and `--version`. A test keeps it equal to package.json. */
export const HUB_VERSION = "0.1.0";
