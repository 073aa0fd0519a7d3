import type { X509Certificate } from "node:crypto";
import { type NodeId, parseNodeId } from "@flotilla/shared/kernel/ids";

/** The node that a certificate names, in its subject and as its only alternative name; undefined when it names none, or two. */
export function nodeIdOf(certificate: X509Certificate): NodeId | undefined {
  const [, name = ""] = /^CN=([^\n]*)$/.exec(certificate.subject) ?? [];
  const nodeId = parseNodeId(name);
  return nodeId !== undefined && certificate.subjectAltName === `DNS:${nodeId}`
    ? nodeId
    : undefined;
}

/** A serial as Node or a library prints it → lower-case hexadecimal without leading zeros. */
export function normalSerial(serial: string): string {
  return serial.toLowerCase().replace(/^0+(?=.)/, "");
}
