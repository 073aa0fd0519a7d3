import { type Static, Type } from "typebox";

/** Pulls the desired state. The hub answers with `desired` when its revision differs from `haveRevision`, else not at all. */
export const DesiredGet = Type.Object({ haveRevision: Type.Integer({ minimum: 0 }) });
export type DesiredGet = Static<typeof DesiredGet>;
