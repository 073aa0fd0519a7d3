/**
 * Goes on with what a node has to do, on real files, and kills itself with SIGKILL right before the file operation, or transaction,
 * with the given number. Not killed, it prints the names of all of them as JSON. Arguments: state directory, number.
 */
import { writeSync } from "node:fs";
import { join } from "node:path";
import { type FileSystem, nodeFiles } from "@flotilla/shared/platform/file-system";
import { PlainAgent, storeIn } from "./crash-node.ts";

const [, , directory = "", killAt = ""] = process.argv;
const names: string[] = [];

/** Reading changes nothing: death before it is death after what came before. */
const READS: ReadonlySet<string | symbol> = new Set(
  "read stat list lookUp readLink freeBytes close".split(" "),
);

function operation(name: string): void {
  if (names.length === Number(killAt)) process.kill(process.pid, "SIGKILL");
  names.push(name);
}

const files = new Proxy<FileSystem>(nodeFiles, {
  get(target, name) {
    const own: unknown = Reflect.get(target, name);
    if (typeof own !== "function" || READS.has(name)) return own;
    return (...given: readonly unknown[]): unknown => {
      operation(String(name));
      return Reflect.apply(own, target, given);
    };
  },
});
const store = storeIn(directory);
const agent = new PlainAgent({
  files,
  root: join(directory, "artifacts"),
  store: {
    database: store.database,
    transaction(work) {
      operation("commit");
      return store.transaction(work);
    },
  },
});
await agent.live();
writeSync(1, JSON.stringify(names));
