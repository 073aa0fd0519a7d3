import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type Static, Type } from "typebox";
import { Compile } from "typebox/compile";
import { CliError } from "../domain/errors.ts";

const Context = Type.Object({
  name: Type.String({ minLength: 1 }),
  kubeconfig: Type.String({ minLength: 1 }),
  fleet: Type.Optional(Type.String()),
  namespace: Type.Optional(Type.String()),
});
export type Context = Static<typeof Context>;

const ContextFile = Type.Object({
  current: Type.Optional(Type.String()),
  contexts: Type.Array(Context),
});
export type ContextFile = Static<typeof ContextFile>;

type Environment = Readonly<Record<string, string | undefined>>;

/** $FLOTILLA_CONFIG, else `flotilla/contexts.json` in the user's configuration directory. */
export function contextFilePath(env: Environment): string {
  return (
    env["FLOTILLA_CONFIG"] ??
    join(env["XDG_CONFIG_HOME"] ?? join(homedir(), ".config"), "flotilla", "contexts.json")
  );
}

/** An absent file is an empty one. */
export function readContexts(path: string): ContextFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return { contexts: [] };
  }
  const value = parseJson(text);
  if (Compile(ContextFile).Check(value)) return value;
  throw new CliError("usage", `${path} is no file of contexts`, {
    mend: `remove it, then: flotilla config set-context NAME --kubeconfig FILE`,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Adds or replaces a context and makes it the current one. `~/` in the path is the home directory. */
export function setContext(path: string, context: Context): ContextFile {
  const before = readContexts(path);
  const old = before.contexts.find((c) => c.name === context.name);
  const kubeconfig = resolve(context.kubeconfig.replace(/^~(?=\/)/, homedir()));
  const next = { ...old, ...context, kubeconfig };
  const file = {
    current: next.name,
    contexts: [...before.contexts.filter((c) => c.name !== next.name), next],
  };
  save(path, file);
  return file;
}

/** Makes an existing context the current one. */
export function useContext(path: string, name: string): void {
  const file = readContexts(path);
  if (!file.contexts.some((c) => c.name === name)) {
    throw new CliError("not-found", `there is no context "${name}"`, {
      mend: `one of: ${file.contexts.map((c) => c.name).join(", ") || "none yet; flotilla config set-context NAME --kubeconfig FILE"}`,
    });
  }
  save(path, { ...file, current: name });
}

function save(path: string, file: ContextFile): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.new`;
  writeFileSync(temporary, `${JSON.stringify(file, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(temporary, path);
}
