import { realAgent } from "./real-node.ts";

/** An agent process for crash tests: `reconciler-child <folder>`; reconciles the stored desired state until it is killed. */
const [directory = ""] = process.argv.slice(2);
const { reconciler } = realAgent(directory);
process.stdout.write("up\n");
await reconciler.run(new AbortController().signal);
