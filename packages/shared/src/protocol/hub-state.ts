import { type Static, Type } from "typebox";

/**
 * Retained on HUB_STATE_TOPIC. `term` grows with every hub start (durable), so that an agent can tell a hub that is
 * absent from a link that is cut, and an old retained message from the present one.
 */
export const HubState = Type.Object({
  term: Type.Integer({ minimum: 1 }),
  online: Type.Boolean(),
  sentAt: Type.Integer({ minimum: 0 }),
});
export type HubState = Static<typeof HubState>;
