import type { AnyObject } from "@flotilla/hub/app/resources/ports";
import type { ObjectOf } from "@flotilla/shared/model/kinds";

/** What kind an object of the hub's log is. */

export function isAssignment(object: AnyObject): object is AnyObject & ObjectOf<"Assignment"> {
  return object.kind === "Assignment";
}

export function isNode(object: AnyObject): object is AnyObject & ObjectOf<"EdgeNode"> {
  return object.kind === "EdgeNode";
}

export function isApplication(object: AnyObject): object is AnyObject & ObjectOf<"Application"> {
  return object.kind === "Application";
}

export function isEvent(object: AnyObject): object is AnyObject & ObjectOf<"Event"> {
  return object.kind === "Event";
}
