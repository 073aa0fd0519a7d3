import { text } from "node:stream/consumers";
import { wantsColor } from "../output/io.ts";
import { runCli } from "./program.ts";

// Ctrl-C is left to the system: nothing has to be put in order, and a shell sees 130.
const readerGone = new AbortController();
// A reader that went away (`flotilla get … | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  readerGone.abort();
});

process.exitCode = await runCli(process.argv.slice(2), {
  out: (chunk) => void process.stdout.write(chunk),
  err: (chunk) => void process.stderr.write(chunk),
  env: process.env,
  nowMs: () => Date.now(),
  readStdin: () => text(process.stdin),
  readerGone: readerGone.signal,
  color: wantsColor(process.env, process.stderr.isTTY === true),
  ...(process.stderr.isTTY ? { terminal: process.stderr } : {}),
});
