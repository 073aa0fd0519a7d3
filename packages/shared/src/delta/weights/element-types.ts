/** Types of weights that the codec knows; anything else is coded as bytes. The numbers stand in the format. */
export const ELEMENT_TYPES = { u8: 0, i8: 1, i16: 2, i32: 3, f16: 4, bf16: 5, f32: 6 } as const;

export type ElementType = keyof typeof ELEMENT_TYPES;

export interface ElementTraits {
  readonly widthBytes: 1 | 2 | 4;
  /** Bits of exponent and mantissa; no exponent: a whole number. */
  readonly exponentBits: number;
  readonly mantissaBits: number;
  /** Exponent field of 1.0. */
  readonly exponentBias: number;
}

export const TRAITS: Readonly<Record<ElementType, ElementTraits>> = {
  u8: { widthBytes: 1, exponentBits: 0, mantissaBits: 0, exponentBias: 0 },
  i8: { widthBytes: 1, exponentBits: 0, mantissaBits: 0, exponentBias: 0 },
  i16: { widthBytes: 2, exponentBits: 0, mantissaBits: 0, exponentBias: 0 },
  i32: { widthBytes: 4, exponentBits: 0, mantissaBits: 0, exponentBias: 0 },
  f16: { widthBytes: 2, exponentBits: 5, mantissaBits: 10, exponentBias: 15 },
  bf16: { widthBytes: 2, exponentBits: 8, mantissaBits: 7, exponentBias: 127 },
  f32: { widthBytes: 4, exponentBits: 8, mantissaBits: 23, exponentBias: 127 },
};

const BY_NUMBER: ReadonlyMap<number, ElementType> = new Map(
  Object.entries(ELEMENT_TYPES).map(([name, number]) => [number, name as ElementType]),
);

export function elementTypeOf(number: number): ElementType | undefined {
  return BY_NUMBER.get(number);
}
