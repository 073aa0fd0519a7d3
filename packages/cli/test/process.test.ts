import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";

const run = promisify(execFile);
const FLOTILLA = join(import.meta.dirname, "../src/main/flotilla.ts");

let folder: string;
let silent: Server | undefined;
let child: ChildProcess | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-cli-"));
});
afterEach(() => {
  child?.kill("SIGKILL");
  silent?.close();
  rmSync(folder, { recursive: true, force: true });
});

test("Ctrl-C ends a command that waits for the hub, and the shell sees 130", async () => {
  let connected: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => (connected = resolve));
  const server = createServer(() => connected());
  silent = server;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const kubeconfig = join(folder, "kubeconfig");
  writeFileSync(
    kubeconfig,
    `current-context: h
contexts: [{name: h, context: {cluster: h, user: u}}]
clusters: [{name: h, cluster: {server: "https://127.0.0.1:${port}"}}]
users: [{name: u, user: {token: t}}]
`,
  );
  const started = spawn(process.execPath, [FLOTILLA, "--kubeconfig", kubeconfig, "get", "sites"]);
  child = started;
  const ended = new Promise<string | number | null>((resolve) =>
    started.once("exit", (code, signal) => resolve(signal ?? code)),
  );
  await asked;
  started.kill("SIGINT");
  expect(await ended).toBe("SIGINT");
});

/** What each shell makes of the script: it loads without a word, and knows what comes after \`get ap\`. */
const SHELLS = [
  {
    program: "/bin/bash",
    name: "bash",
    ask: "source SCRIPT; COMP_WORDS=(flotilla get ap); COMP_CWORD=2; _flotilla; echo ${COMPREPLY[@]}",
    answer: "applications\n",
  },
  {
    program: "/usr/bin/zsh",
    name: "zsh",
    ask: 'source SCRIPT; echo "$_comps[flotilla]"',
    answer: "_flotilla\n",
  },
  {
    program: "/usr/bin/fish",
    name: "fish",
    ask: 'source SCRIPT; complete -C "flotilla get ap"',
    answer: "applications\n",
  },
].filter(({ program }) => existsSync(program));

test.each(SHELLS)(
  "the completion script loads in $name",
  async ({ program, name, ask, answer }) => {
    const script = join(folder, "completion");
    writeFileSync(script, (await run(process.execPath, [FLOTILLA, "completion", name])).stdout);
    const flags = name === "zsh" ? ["-f", "-c"] : ["-c"];
    const { stdout, stderr } = await run(program, [...flags, ask.replace("SCRIPT", script)], {
      env: { PATH: process.env["PATH"], HOME: folder },
    });
    expect([stderr, stdout]).toEqual(["", answer]);
  },
);
