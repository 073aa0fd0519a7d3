/**
 * The frozen JSON value that `next` stands for: what `JSON.parse(JSON.stringify(next))` gives, made without the text. It
 * shares nothing with the caller; what is equal to `current`, a frozen value made here before, is taken from there, so
 * that the answer is `current` itself when nothing differs. Undefined when JSON knows no such value (undefined, a function).
 * Throws as JSON.stringify does.
 */
export function storedCopy<T>(next: T, current?: unknown): T | undefined {
  // A copy has the form of what it was made from.
  return copy(next, current) as T | undefined;
}

/** Freezes a value and all that it holds; what is frozen already is held to be so throughout. */
export function freezeDeep<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const member of Object.values(value)) freezeDeep(member);
  return value;
}

function copy(next: unknown, current: unknown): unknown {
  if (typeof next === "string" || typeof next === "boolean" || next === null) return next;
  // JSON knows neither NaN, nor the infinities, nor a zero below zero.
  if (typeof next === "number") return Number.isFinite(next) ? next + 0 : null;
  if (next === current && typeof next === "object") return current;
  if (Array.isArray(next) && !hasToJson(next)) return copyArray(next, current);
  return isPlain(next) ? copyMembers(next, current) : throughText(next);
}

function copyArray(next: readonly unknown[], current: unknown): readonly unknown[] {
  const before: readonly unknown[] | undefined = Array.isArray(current) ? current : undefined;
  let isSame = before?.length === next.length;
  const items: unknown[] = [];
  for (let i = 0; i < next.length; i++) {
    const item = copy(next[i], before?.[i]) ?? null;
    isSame &&= item === before?.[i];
    items.push(item);
  }
  return isSame && before !== undefined ? before : Object.freeze(items);
}

type Members = { [key: string]: unknown };

function copyMembers(next: Readonly<Members>, current: unknown): Readonly<Members> {
  const before = isPlain(current) ? current : undefined;
  let memberCount = 0;
  let isSame = before !== undefined;
  const members: Members = {};
  for (const key of Object.keys(next)) {
    const old = before !== undefined && Object.hasOwn(before, key) ? before[key] : undefined;
    const member = copy(next[key], old);
    if (member === undefined) continue;
    memberCount++;
    isSame &&= member === old;
    if (key === "__proto__") defineProto(members, member);
    else members[key] = member;
  }
  if (isSame && before !== undefined && Object.keys(before).length === memberCount) return before;
  return Object.freeze(members);
}

/** As JSON.parse has it: a member of that name, not the prototype. */
function defineProto(members: Members, value: unknown): void {
  Object.defineProperty(members, "__proto__", {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

/** True for an object of which JSON.stringify writes its own members and nothing else. */
function isPlain(value: unknown): value is Readonly<Members> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return (prototype === Object.prototype || prototype === null) && !hasToJson(value);
}

function hasToJson(value: object): boolean {
  return "toJSON" in value && typeof value.toJSON === "function";
}

/** For what is rare: dates, boxed values, instances of classes. */
function throughText(value: unknown): unknown {
  // The library's type says string, but there is none for undefined and functions.
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined ? undefined : freezeDeep<unknown>(JSON.parse(text));
}
