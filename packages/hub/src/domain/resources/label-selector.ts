/**
 * Label selectors as text (apimachinery labels.Parse): `a=b,c!=d,e in (f,g),h notin (i),j,!k`, and `a>1`, `a<2`.
 */
import { badRequest } from "./api-error.ts";
import { labelValueFault, qualifiedNameFault } from "./names.ts";

type Labels = Readonly<Record<string, unknown>>;

interface Requirement {
  readonly key: string;
  readonly operator: "in" | "notin" | "exists" | "absent" | "above" | "below";
  readonly values: readonly string[];
}

/** True for the labels of an object that the selector selects. */
export type LabelMatcher = (labels: Labels) => boolean;

/** Longest selector, in characters. */
export const SELECTOR_LENGTH_MAX = 16_384;

const END = "end of string";
const TOKEN = /\s*(==|!=|=|!|\(|\)|,|>|<|[^\s=!(),<>]+)/y;

/** Throws BadRequest with kube-apiserver's words where there are some. An absent or empty text selects everything. */
export function parseLabelSelector(text: string | undefined): LabelMatcher {
  if (text === undefined || text.trim() === "") return () => true;
  if (text.length > SELECTOR_LENGTH_MAX)
    throw badRequest(`labelSelector: longer than ${SELECTOR_LENGTH_MAX} characters`);
  const requirements = new Parser(tokensOf(text)).parse();
  return (labels) => requirements.every((r) => fulfils(r, labels));
}

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  const pattern = new RegExp(TOKEN, "y");
  while (pattern.lastIndex < text.trimEnd().length) {
    const match = pattern.exec(text);
    if (match === null) throw badRequest(`unable to parse requirement: ${text}`);
    tokens.push(match[1] ?? "");
  }
  return tokens;
}

class Parser {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  parse(): readonly Requirement[] {
    const requirements: Requirement[] = [];
    for (;;) {
      const token = this.#peek();
      if (token !== "!" && !isWord(token))
        throw unexpected(token, "!, identifier, or 'end of string'");
      requirements.push(this.#requirement());
      const next = this.#next();
      if (next === undefined) return requirements;
      if (next !== ",") throw unexpected(next, `',' or '${END}'`);
      if (!isWord(this.#peek()) && this.#peek() !== "!")
        throw unexpected(this.#peek(), "identifier after ','");
    }
  }

  #requirement(): Requirement {
    if (this.#peek() === "!") {
      this.#next();
      return { key: this.#key(), operator: "absent", values: [] };
    }
    const key = this.#key();
    const token = this.#peek();
    switch (token) {
      case undefined:
      case ",":
        return { key, operator: "exists", values: [] };
      case "=":
      case "==":
        this.#next();
        return { key, operator: "in", values: [this.#value()] };
      case "!=":
        this.#next();
        return { key, operator: "notin", values: [this.#value()] };
      case ">":
      case "<":
        this.#next();
        return { key, operator: token === ">" ? "above" : "below", values: [this.#number(key)] };
      case "in":
      case "notin":
        this.#next();
        return { key, operator: token, values: this.#values() };
      default:
        throw unexpected(token, "in, notin, =, ==, !=, gt, lt");
    }
  }

  #key(): string {
    const key = this.#next();
    if (key === undefined || !isWord(key)) throw unexpected(key, "identifier");
    const fault = qualifiedNameFault(key);
    if (fault !== undefined)
      throw badRequest(`key: Invalid value: ${JSON.stringify(key)}: ${fault}`);
    return key;
  }

  /** One value; absent means the empty one. */
  #value(): string {
    const token = this.#peek();
    if (token === undefined || token === "," || token === ")") return "";
    this.#next();
    if (!isWord(token)) throw unexpected(token, "identifier");
    const fault = labelValueFault(token);
    if (fault !== undefined)
      throw badRequest(`values[0]: Invalid value: ${JSON.stringify(token)}: ${fault}`);
    return token;
  }

  #number(key: string): string {
    const value = this.#value();
    if (!/^-?\d{1,15}$/.test(value))
      throw badRequest(
        `values[0][${key}]: Invalid value: "${value}": for 'Gt', 'Lt' operators, the value must be an integer`,
      );
    return value;
  }

  #values(): readonly string[] {
    const open = this.#next();
    if (open !== "(") throw unexpected(open, "'('");
    const values = [this.#value()];
    for (;;) {
      const token = this.#next();
      if (token === ")") return values;
      if (token !== ",") throw unexpected(token, "',' or ')'");
      values.push(this.#value());
    }
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at];
  }

  #next(): string | undefined {
    return this.#tokens[this.#at++];
  }
}

function fulfils(requirement: Requirement, labels: Labels): boolean {
  const { key, operator, values } = requirement;
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "in":
      return typeof value === "string" && values.includes(value);
    case "notin":
      return typeof value !== "string" || !values.includes(value);
    case "exists":
      return value !== undefined;
    case "absent":
      return value === undefined;
    case "above":
      return value !== undefined && Number(value) > Number(values[0]);
    case "below":
      return value !== undefined && Number(value) < Number(values[0]);
  }
}

function isWord(token: string | undefined): boolean {
  return token !== undefined && !/^[=!(),<>]/.test(token);
}

function unexpected(token: string | undefined, wanted: string): Error {
  return badRequest(`found '${token ?? ""}', expected: ${wanted}`);
}
