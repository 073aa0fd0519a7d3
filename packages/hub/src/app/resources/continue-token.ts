import { badRequest } from "../../domain/resources/api-error.ts";

/** Where the next page of a list begins: behind this object, under this version. */
export interface ContinueToken {
  readonly revision: number;
  readonly namespace: string;
  readonly name: string;
}

/** Longest token that is read. */
const TOKEN_LENGTH_MAX = 1_024;
const SHAPE = /^(\d{1,16})\/([-a-z0-9]{0,63})\/([-.a-z0-9]{1,253})$/;

/** Opaque to clients: base64url, so that nobody builds one by hand. */
export function formatToken(token: ContinueToken): string {
  return btoa(`${token.revision}/${token.namespace}/${token.name}`)
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

/** Throws BadRequest for anything that `formatToken` did not make. */
export function parseToken(text: string): ContinueToken {
  const match = SHAPE.exec(text.length <= TOKEN_LENGTH_MAX ? decoded(text) : "");
  if (match === null)
    throw badRequest("invalid continue token: continue key is not valid: start the list again");
  return { revision: Number(match[1]), namespace: match[2] ?? "", name: match[3] ?? "" };
}

function decoded(text: string): string {
  if (!/^[-_A-Za-z0-9]*$/.test(text) || text.length % 4 === 1) return "";
  return atob(text.replaceAll("-", "+").replaceAll("_", "/"));
}
