/**
 * Version of what goes over MQTT. 1: first.
 * A schema may gain optional fields within a version; anything else is a new version. `schema-hash.test.ts` pins the
 * hash of all schemas: a change that was not meant shows there.
 */
export const PROTOCOL_VERSION = 1;

/** Oldest version that the hub still serves. Never rises within a major release. */
export const PROTOCOL_VERSION_MIN = 1;
