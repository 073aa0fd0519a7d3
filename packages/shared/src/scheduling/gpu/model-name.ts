/**
 * Whether a device is of a model that is asked for: the asked words, one after the other, are whole words of the vendor's
 * name, in any case. `A100` is `NVIDIA A100-SXM4-80GB` but not `NVIDIA RTX A1000`; hyphens and spaces are the same.
 */
export function matchesModel(model: string, asked: string): boolean {
  const [has, wants] = [wordsOf(model), wordsOf(asked)];
  if (wants.length === 0) return false;
  return has.some((_, at) => wants.every((word, i) => has[at + i] === word));
}

function wordsOf(name: string): readonly string[] {
  return name
    .toLowerCase()
    .split(/[\s_-]+/)
    .filter((word) => word !== "");
}
