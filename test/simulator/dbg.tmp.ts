import { writeSync } from "node:fs";
import { Codec } from "@flotilla/shared/protocol/codec";
import { runSeed } from "./scenario/run.ts";
import { Trace } from "./world/trace.ts";

const fold = Trace.prototype.fold;
let n = 0;
const ring: string[] = [];
Trace.prototype.fold = function (t: string) {
  ring.push(t.trim());
  if (ring.length > 60) ring.shift();
  if (++n === 30000) {
    writeSync(1, ring.join("\n") + "\n");
    process.exit(3);
  }
  fold.call(this, t);
};
const r = await runSeed(
  { seed: Number(process.argv[2]), steps: 4000, bugs: new Set() },
  { codec: new Codec() },
);
writeSync(1, String(r.failure) + "\n");
process.exit(0);
