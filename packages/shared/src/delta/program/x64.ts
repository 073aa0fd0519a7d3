/**
 * Length of the opcode before a 4-byte distance when one begins at `at`: calls and jumps (E8, E9), conditional jumps
 * (0F 80 … 8F), and ModRM bytes that name an address relative to the instruction; 0 when none does.
 */
export function x64ReferenceAt(old: Uint8Array, at: number): number {
  const first = old[at] ?? 0;
  if (first === 0xe8 || first === 0xe9) return 1;
  const second = old[at + 1] ?? 0;
  if (first === 0x0f) {
    if ((second & 0xf0) === 0x80) return 2;
    // Two-byte opcodes with ModRM: moves and conversions of vector registers, cmov, movzx, movsx, setcc …
    return ((old[at + 2] ?? 0) & 0xc7) === 0x05 && TWO_BYTE(second) ? 3 : 0;
  }
  return (second & 0xc7) === 0x05 && ONE_BYTE(first) ? 2 : 0;
}

function ONE_BYTE(opcode: number): boolean {
  // add … cmp with ModRM, mov, lea, test, xchg, shifts, immediates, indirect calls.
  return (
    (opcode < 0x40 && (opcode & 4) === 0) ||
    opcode === 0x63 ||
    opcode === 0x69 ||
    opcode === 0x6b ||
    (opcode >= 0x80 && opcode <= 0x8f) ||
    opcode === 0xc6 ||
    opcode === 0xc7 ||
    (opcode >= 0xd8 && opcode <= 0xdf) ||
    opcode === 0xf6 ||
    opcode === 0xf7 ||
    opcode >= 0xfe
  );
}

function TWO_BYTE(opcode: number): boolean {
  return (
    (opcode >= 0x10 && opcode <= 0x17) ||
    opcode === 0x1f ||
    (opcode >= 0x28 && opcode <= 0x2f) ||
    (opcode >= 0x40 && opcode <= 0x7f) ||
    (opcode >= 0x90 && opcode <= 0x9f) ||
    opcode >= 0xa3
  );
}
