import type { ApiClient, ApiObject } from "../client/api-client.ts";
import { CliError } from "../domain/errors.ts";
import { MetadataFolder } from "../trust/metadata-folder.ts";

/** What the hub did with metadata. */
export interface Published {
  /** Names of files that are new, the snapshot and the timestamp that the hub signed among them. */
  readonly published: readonly string[];
  /** Names of files that changed nothing. */
  readonly skipped: readonly string[];
}

/**
 * Sends what offline keys have signed to the hub, which judges it as a node would and signs snapshot and timestamp over it. A whole
 * folder may be sent every time. Rejects with CliError `invalid` where a node would refuse it.
 */
export async function publishMetadata(client: ApiClient, path: string): Promise<Published> {
  const folder = new MetadataFolder({ path });
  const files = folder.published();
  if (files.size === 0)
    throw new CliError("not-found", `${path} holds no signed metadata`, {
      mend: "Name the folder of flotilla trust init.",
    });
  const body = {
    files: Object.fromEntries(
      [...files].map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")]),
    ),
  };
  const answer = await client.json({ method: "POST", path: "/artifacts/v1/metadata", body });
  return { published: namesIn(answer, "published"), skipped: namesIn(answer, "skipped") };
}

/** What a person reads of it. */
export function publishedText({ published }: Published, path: string): string {
  if (published.length === 0) return `${path}: the hub has published all of it already\n`;
  return `published by the hub: ${published.join(", ")}\n`;
}

function namesIn(answer: ApiObject, field: string): readonly string[] {
  const value = answer[field];
  return Array.isArray(value) ? value.filter((name) => typeof name === "string") : [];
}
