/** Version of the agent, sent with every birth. A test keeps it equal to package.json. */
export const AGENT_VERSION = "0.1.0";
