import { type Static, Type } from "typebox";

/** There is a new desired state; pull it. Tiny, so that nothing queues up for an absent node. */
export const DesiredNotify = Type.Object({ revision: Type.Integer({ minimum: 1 }) });
export type DesiredNotify = Static<typeof DesiredNotify>;
