import { type Static, Type } from "typebox";

/** Core kinds that are stored as they are. Node, Pod and Lease are projections and have no schema of their own here. */

export const NamespaceSpec = Type.Object({ finalizers: Type.Optional(Type.Array(Type.String())) });
export const NamespaceStatus = Type.Object({
  phase: Type.Optional(Type.Union([Type.Literal("Active"), Type.Literal("Terminating")])),
});

const StringMap = Type.Record(Type.String(), Type.String());

/** Fields of ConfigMap beside metadata; it has no spec. */
export const configMapFields = {
  data: Type.Optional(StringMap),
  binaryData: Type.Optional(StringMap),
  immutable: Type.Optional(Type.Boolean()),
};

/** Fields of Secret beside metadata. `data` holds base64; `stringData` is write-only and moved into `data`. */
export const secretFields = {
  type: Type.Optional(Type.String()),
  data: Type.Optional(StringMap),
  stringData: Type.Optional(StringMap),
  immutable: Type.Optional(Type.Boolean()),
};

/** Fields of core/v1 Event. */
export const eventFields = {
  involvedObject: Type.Object({
    apiVersion: Type.Optional(Type.String()),
    kind: Type.Optional(Type.String()),
    name: Type.Optional(Type.String()),
    namespace: Type.Optional(Type.String()),
    uid: Type.Optional(Type.String()),
    resourceVersion: Type.Optional(Type.String()),
    fieldPath: Type.Optional(Type.String()),
  }),
  reason: Type.Optional(Type.String()),
  message: Type.Optional(Type.String()),
  type: Type.Optional(Type.Union([Type.Literal("Normal"), Type.Literal("Warning")])),
  source: Type.Optional(
    Type.Object({ component: Type.Optional(Type.String()), host: Type.Optional(Type.String()) }),
  ),
  firstTimestamp: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  lastTimestamp: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  eventTime: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  count: Type.Optional(Type.Integer()),
  action: Type.Optional(Type.String()),
  reportingComponent: Type.Optional(Type.String()),
  reportingInstance: Type.Optional(Type.String()),
};
const EventFields = Type.Object(eventFields);
export type EventFields = Static<typeof EventFields>;
