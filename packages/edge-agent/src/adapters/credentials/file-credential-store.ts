import { join } from "node:path";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import {
  ensureDirectory,
  readFileIfExists,
  writeFileDurable,
} from "@flotilla/shared/platform/files";
import { Type } from "typebox";
import { Check } from "typebox/value";
import type { CredentialStore, Credentials } from "../../app/link/ports.ts";

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

const Text = Type.String({ minLength: 1 });
const Stored = Type.Object({
  nodeId: Text,
  shard: Text,
  certificate: Text,
  privateKey: Text,
  caCertificate: Text,
  signingKey: Text,
  mqttUrl: Text,
  apiUrl: Text,
  certificateNotBeforeMs: Type.Number(),
  certificateExpiresMs: Type.Number(),
});

/**
 * The credentials as one file, `credentials.json` (0600) in the state directory: key and certificate can never be of two
 * different enrolments, whenever the power goes.
 */
export class FileCredentialStore implements CredentialStore {
  readonly #path: string;
  readonly #log: Log;

  constructor(options: { readonly directory: string }, deps: { readonly log: Log }) {
    ensureDirectory(options.directory, FOLDER_MODE);
    this.#path = join(options.directory, "credentials.json");
    this.#log = deps.log;
  }

  /** Undefined, and said, when the file cannot be read: what runs goes on, and the node has to join again. */
  load(): Credentials | undefined {
    try {
      const text = readFileIfExists(this.#path);
      if (text === undefined) return undefined;
      const value: unknown = JSON.parse(text);
      if (Check(Stored, value)) return value;
      this.#log.error({ path: this.#path }, "the credentials are damaged; join the node again");
    } catch (error) {
      const reason = error instanceof SyntaxError ? "it is no JSON" : messageOf(error);
      this.#log.error({ path: this.#path, reason }, "the credentials cannot be read");
    }
    return undefined;
  }

  save(credentials: Credentials): void {
    writeFileDurable(this.#path, `${JSON.stringify(credentials)}\n`, FILE_MODE);
  }
}
