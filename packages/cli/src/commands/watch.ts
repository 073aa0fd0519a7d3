import { setTimeout } from "node:timers/promises";
import type { ApiObject } from "../client/api-client.ts";
import { CliError } from "../domain/errors.ts";
import { textOf } from "../domain/text.ts";
import type { Session } from "./session.ts";

/** Longest line of a watch, which is one object, in characters. */
const LINE_LENGTH_MAX = 16 * 1024 * 1024;
/** Pause before a watch that the hub ended is gone on with: one that ends each at once gets no storm. */
const WATCH_AGAIN_MS = 1_000;

/** A collection that is followed from a version of it. */
export interface Followed {
  /** Path with its query, without the parameters of a watch. */
  readonly path: string;
  readonly resourceVersion: string;
  readonly accept?: string;
}

/**
 * Hands on each object of the collection that is added, changed or deleted from now on, until the reader of standard output
 * goes away or Ctrl-C ends the program. The hub ends a watch after a time; it is then gone on with.
 */
export async function follow(
  session: Session,
  { path, resourceVersion, accept }: Followed,
  onObject: (object: ApiObject) => void,
): Promise<void> {
  const { client, io } = session;
  let version = resourceVersion;
  while (!io.readerGone.aborted) {
    let rest = "";
    const query = new URLSearchParams({ watch: "true", allowWatchBookmarks: "true" });
    query.set("resourceVersion", version);
    await client.stream(
      {
        method: "GET",
        path: `${path}${path.includes("?") ? "&" : "?"}${query.toString()}`,
        ...(accept === undefined ? {} : { accept }),
      },
      (text) => {
        const lines = `${rest}${text}`.split("\n");
        rest = lines.pop() ?? "";
        if (rest.length > LINE_LENGTH_MAX)
          throw new CliError("failed", `an object has more than ${LINE_LENGTH_MAX} characters`);
        for (const line of lines) version = onLine(line, onObject) ?? version;
      },
      io.readerGone,
    );
    if (!io.readerGone.aborted) await setTimeout(WATCH_AGAIN_MS);
  }
}

/** Hands on what the line carries and returns the version to go on from. */
function onLine(line: string, onObject: (object: ApiObject) => void): string | undefined {
  if (line.trim() === "") return undefined;
  const event: { readonly type?: unknown; readonly object?: ApiObject } = JSON.parse(line);
  const object = event.object ?? {};
  if (event.type === "ERROR")
    throw new CliError("failed", `the watch ended: ${textOf(object["message"])}`, {
      mend: "run it again",
    });
  if (event.type !== "BOOKMARK") onObject(object);
  return versionOf(object);
}

/** resourceVersion of a list, an object or a table. */
export function versionOf(object: ApiObject): string | undefined {
  const metadata = object["metadata"] as { readonly resourceVersion?: unknown } | undefined;
  return textOf(metadata?.resourceVersion) || undefined;
}
