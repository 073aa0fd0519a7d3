import { type Static, Type } from "typebox";

/** Asks for a birth on this session: the hub lost or missed what it needs. */
export const Rebirth = Type.Object({ reason: Type.String({ maxLength: 256 }) });
export type Rebirth = Static<typeof Rebirth>;
