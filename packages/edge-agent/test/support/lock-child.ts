import { lockStateDir } from "../../src/adapters/store/state-lock.ts";

/** Holds the lock of a folder until it is killed: `lock-child <folder>`. */
const [directory = ""] = process.argv.slice(2);
const lock = lockStateDir(directory);
process.stdout.write("locked\n");
setInterval(() => lock, 60_000);
