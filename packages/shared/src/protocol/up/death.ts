import { type Static, Type } from "typebox";

/** The session's will: sent by the broker when the link breaks. A hint that the lease sweep confirms. Carries seq 0. */
export const Death = Type.Object({ bootId: Type.String({ minLength: 1, maxLength: 64 }) });
export type Death = Static<typeof Death>;
