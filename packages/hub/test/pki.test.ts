import "reflect-metadata";
import { createPublicKey, verify, webcrypto, X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readFileIfExists } from "@flotilla/shared/platform/files";
import { systemRandom } from "@flotilla/shared/platform/random";
import { DESIRED_SIGNATURE_CONTEXT } from "@flotilla/shared/protocol/down/desired";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import {
  BasicConstraintsExtension,
  ChallengePasswordAttribute,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type FileCertificateAuthority,
  openCertificateAuthority,
} from "../src/adapters/pki/certificate-authority.ts";
import { openDesiredSigner } from "../src/adapters/pki/desired-signer.ts";
import { enrolmentCrypto } from "../src/adapters/pki/enrolment-crypto.ts";
import {
  CSR_LENGTH_MAX,
  NODE_CERTIFICATE_MS,
  RENEWAL_GRACE_MS,
  SERVER_CERTIFICATE_MS,
  SERVER_RENEWAL_MS,
} from "../src/adapters/pki/limits.ts";
import { makeDeviceKey, renewalProof, strangerKey } from "./support/device-keys.ts";

const DAY_MS = 86_400_000;
const NOW_MS = 1_800_000_000_000;
let directory = "";
let clock = new ManualClock({ wallMs: NOW_MS });

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pki-"));
  clock = new ManualClock({ wallMs: NOW_MS });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (folder = directory): Promise<FileCertificateAuthority> =>
  openCertificateAuthority(
    { directory: folder },
    { clock, random: systemRandom(), log: silentLog() },
  );

async function enrolled(ca: FileCertificateAuthority, nodeId = "node-1") {
  const device = await makeDeviceKey();
  const issued = await ca.issueNodeCertificate({ csr: device.csr, nodeId, nowMs: clock.wallMs() });
  return { ...device, ...issued };
}

test("the CA is made once, with a key that only its owner reads, and is the same after a restart", async () => {
  const first = await open();
  const second = await open();
  expect(second.fingerprint).toBe(first.fingerprint);
  expect(second.caCertificate).toBe(first.caCertificate);
  expect(statSync(join(directory, "ca.key")).mode & 0o777).toBe(0o600);
  const certificate = new X509Certificate(first.caCertificate);
  expect(certificate.ca).toBe(true);
  expect(first.fingerprint).toBe(certificate.fingerprint256.replaceAll(":", "").toLowerCase());
  expect(certificate.validFromDate.getTime()).toBe(0);
});

test("a crash after the key and before the certificate leaves a CA that works", async () => {
  await open();
  const key = readFileIfExists(join(directory, "ca.key"));
  rmSync(join(directory, "ca.crt"));
  writeFileSync(join(directory, "ca.crt.tmp"), "half a certi");
  const ca = await open();
  expect(readFileIfExists(join(directory, "ca.key"))).toBe(key);
  const node = await enrolled(ca);
  const leaf = new X509Certificate(node.certificate);
  expect(leaf.verify(new X509Certificate(ca.caCertificate).publicKey)).toBe(true);
  expect(readdirSync(directory).toSorted()).toEqual(["ca.crt", "ca.key"]);
});

test("a CA certificate without its key is not replaced: the operator is told", async () => {
  await open();
  rmSync(join(directory, "ca.key"));
  await expect(open()).rejects.toMatchObject({ code: "ca-key-missing" });
  writeFileSync(join(directory, "ca.key"), strangerKey());
  await expect(open()).rejects.toMatchObject({ code: "ca-mismatch" });
});

test("a node's certificate names the node alone, serves clients alone and lasts 90 days", async () => {
  const ca = await open();
  const node = await enrolled(ca);
  const leaf = new X509Certificate(node.certificate);
  expect(leaf.subject).toBe("CN=node-1");
  expect(leaf.subjectAltName).toBe("DNS:node-1");
  expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  expect(leaf.ca).toBe(false);
  expect(leaf.serialNumber.toLowerCase()).toBe(node.serial);
  expect(leaf.validToDate.getTime()).toBe(NOW_MS + NODE_CERTIFICATE_MS);
  expect(node.expiresAtMs).toBe(NOW_MS + NODE_CERTIFICATE_MS);
  expect((await enrolled(ca)).serial).not.toBe(node.serial);
});

test("of a request that asks for more, only the key is taken", async () => {
  const ca = await open();
  const hostile = [
    await makeDeviceKey({ subject: "CN=other-node" }),
    await makeDeviceKey({ subject: "CN=node-1, O=system:masters" }),
    await makeDeviceKey({ extensions: [new BasicConstraintsExtension(true, 3, true)] }),
    await makeDeviceKey({
      extensions: [
        new SubjectAlternativeNameExtension([
          { type: "dns", value: "hub.example" },
          { type: "ip", value: "127.0.0.1" },
        ]),
      ],
    }),
    await makeDeviceKey({
      extensions: [new ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.1", "2.5.29.37.0"], true)],
    }),
    await makeDeviceKey({ extensions: [new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true)] }),
    await makeDeviceKey({ attributes: [new ChallengePasswordAttribute("let me in")] }),
    await makeDeviceKey({ algorithm: { name: "Ed25519" } }),
  ];
  for (const { csr, privateKey } of hostile) {
    const issued = await ca.issueNodeCertificate({ csr, nodeId: "node-1", nowMs: NOW_MS });
    const leaf = new X509Certificate(issued.certificate);
    expect(leaf.subject).toBe("CN=node-1");
    expect(leaf.subjectAltName).toBe("DNS:node-1");
    expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
    expect(leaf.ca).toBe(false);
    expect(leaf.publicKey.equals(createPublicKey(privateKey))).toBe(true);
  }
});

test("a request that cannot be trusted is refused", async () => {
  const ca = await open();
  const good = (await makeDeviceKey()).csr;
  const other = (await makeDeviceKey()).csr;
  const der = Buffer.from(good.replaceAll(/-----[^-]+-----/g, ""), "base64");
  const pem = (bytes: Buffer): string =>
    `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
  const flipped = Buffer.from(der);
  flipped.writeUInt8((flipped.at(-1) ?? 0) ^ 1, flipped.length - 1);
  const offCurve = Buffer.from(der);
  const point = offCurve.indexOf(Buffer.from([0x03, 0x42, 0x00, 0x04]));
  offCurve.writeUInt8((offCurve.at(point + 10) ?? 0) ^ 1, point + 10);
  const rsa = await makeDeviceKey({
    algorithm: {
      name: "RSASSA-PKCS1-v1_5",
      hash: "SHA-256",
      modulusLength: 2048,
      publicExponent: new Uint8Array([1, 0, 1]),
    },
  });
  const p384 = await makeDeviceKey({ algorithm: { name: "ECDSA", namedCurve: "P-384" } });
  const nested = Buffer.concat([Buffer.alloc(8000, Buffer.from([0x30, 0x80])), Buffer.alloc(100)]);
  const requests = {
    empty: "",
    words: "let me in",
    "bare DER in base64": der.toString("base64"),
    "a certificate": ca.caCertificate,
    "two requests": good + other,
    "text after it": `${good}\nmore`,
    truncated: pem(der.subarray(0, der.length - 20)),
    "bytes after it": pem(Buffer.concat([der, Buffer.alloc(50)])),
    "bad signature": pem(flipped),
    "a point off the curve": pem(offCurve),
    "an RSA key": rsa.csr,
    "a P-384 key": p384.csr,
    huge: pem(Buffer.alloc(CSR_LENGTH_MAX)),
    "deeply nested": pem(nested),
    "no bytes": pem(Buffer.alloc(0)),
    zeros: pem(Buffer.alloc(300)),
  };
  const outcomes = new Map<string, unknown>();
  for (const [name, csr] of Object.entries(requests)) {
    const issued = ca.issueNodeCertificate({ csr, nodeId: "node-1", nowMs: NOW_MS });
    outcomes.set(
      name,
      await issued.then(
        () => "issued",
        (error: { code: string }) => error.code,
      ),
    );
  }
  expect([...outcomes].filter(([, outcome]) => outcome !== "bad-request")).toEqual([]);
});

test("possession is proven by the certificate's key over the message, and by nothing else", async () => {
  const ca = await open();
  const node = await enrolled(ca);
  const proof = renewalProof(node, { nodeId: "node-1", csr: node.csr });
  expect(await ca.verifyPossession(proof)).toEqual({
    ok: true,
    nodeId: "node-1",
    serial: node.serial,
  });
  const stranger = renewalProof(
    { ...node, privateKey: strangerKey() },
    { nodeId: "node-1", csr: node.csr },
  );
  const bad = [
    { ...proof, message: `${proof.message}x` },
    { ...proof, signature: "" },
    { ...proof, signature: "!!" },
    stranger,
    { ...proof, certificate: "" },
    { ...proof, certificate: ca.caCertificate },
    { ...proof, certificate: "x".repeat(100_000) },
    { ...proof, message: "x".repeat(100_000) },
  ];
  for (const one of bad) expect(await ca.verifyPossession(one)).toMatchObject({ ok: false });
});

test("an Ed25519 device proves possession too", async () => {
  const ca = await open();
  const device = await makeDeviceKey({ algorithm: { name: "Ed25519" } });
  const issued = await ca.issueNodeCertificate({ csr: device.csr, nodeId: "n", nowMs: NOW_MS });
  const proof = renewalProof({ ...device, ...issued }, { nodeId: "n", csr: device.csr });
  expect(await ca.verifyPossession(proof)).toMatchObject({ ok: true, nodeId: "n" });
});

test("an expired certificate still proves possession, within the grace", async () => {
  const ca = await open();
  const node = await enrolled(ca);
  const proof = renewalProof(node, { nodeId: "node-1", csr: node.csr });
  clock.setWall(NOW_MS + NODE_CERTIFICATE_MS + RENEWAL_GRACE_MS - DAY_MS);
  expect(await ca.verifyPossession(proof)).toMatchObject({ ok: true });
  clock.setWall(NOW_MS + NODE_CERTIFICATE_MS + RENEWAL_GRACE_MS + DAY_MS);
  expect(await ca.verifyPossession(proof)).toMatchObject({ ok: false });
});

test("a foreign certificate proves nothing, even from a CA of the same name", async () => {
  const ca = await open();
  const foreignDirectory = mkdtempSync(join(tmpdir(), "pki-foreign-"));
  try {
    const foreign = await open(foreignDirectory);
    const node = await enrolled(foreign);
    const proof = renewalProof(node, { nodeId: "node-1", csr: node.csr });
    expect(await ca.verifyPossession(proof)).toMatchObject({ ok: false });
  } finally {
    rmSync(foreignDirectory, { recursive: true, force: true });
  }
  const keys = await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
  const self = await X509CertificateGenerator.createSelfSigned(
    { name: "CN=node-1", keys, signingAlgorithm: { name: "ECDSA", hash: "SHA-256" } },
    webcrypto,
  );
  const message = "renew\nnode-1\n0\n00";
  const signature = Buffer.from(
    await webcrypto.subtle.sign(
      { name: "ECDSA", hash: "SHA-256" },
      keys.privateKey,
      Buffer.from(message),
    ),
  ).toString("base64");
  const proof = { certificate: self.toString("pem"), message, signature };
  expect(await ca.verifyPossession(proof)).toMatchObject({ ok: false });
});

test("a server's certificate does not pass for a node's", async () => {
  const ca = await open();
  const server = await ca.serverCredentials({ name: "api", hosts: [] });
  const proof = renewalProof(server, { nodeId: "localhost", csr: "x" });
  expect(await ca.verifyPossession(proof)).toMatchObject({ ok: false });
});

test("server certificates cover the configured names and this machine, and stay until near their end", async () => {
  const ca = await open();
  const hosts = ["hub.example", "10.1.2.3", "fd00::1"];
  const first = await ca.serverCredentials({ name: "broker", hosts });
  const certificate = new X509Certificate(first.certificate);
  for (const host of ["hub.example", "localhost"])
    expect(certificate.checkHost(host)).toBeDefined();
  for (const ip of ["10.1.2.3", "fd00::1", "127.0.0.1"])
    expect(certificate.checkIP(ip)).toBeDefined();
  expect(certificate.validFromDate.getTime()).toBe(0);
  expect(statSync(join(directory, "broker.key")).mode & 0o777).toBe(0o600);
  expect((await ca.serverCredentials({ name: "broker", hosts })).certificate).toBe(
    first.certificate,
  );

  const more = await ca.serverCredentials({ name: "broker", hosts: [...hosts, "new.example"] });
  expect(more.certificate).not.toBe(first.certificate);
  expect(more.privateKey).toBe(first.privateKey);

  clock.setWall(NOW_MS + SERVER_CERTIFICATE_MS - SERVER_RENEWAL_MS + DAY_MS);
  const renewed = await ca.serverCredentials({ name: "broker", hosts });
  expect(renewed.certificate).not.toBe(more.certificate);
  expect(renewed.expiresAtMs).toBeGreaterThan(more.expiresAtMs);
});

test("the signer of desired states keeps its key and binds the context", () => {
  const signer = openDesiredSigner({ directory });
  const again = openDesiredSigner({ directory });
  expect(again.keyId).toBe(signer.keyId);
  expect(signer.keyId).toMatch(/^[0-9a-f]{16}$/);
  expect(statSync(join(directory, "desired.key")).mode & 0o777).toBe(0o600);
  const signature = Buffer.from(signer.sign('{"ü":1}'), "base64");
  const key = createPublicKey(signer.publicKey);
  const text = Buffer.from(`${DESIRED_SIGNATURE_CONTEXT}{"ü":1}`);
  expect(verify(null, text, key, signature)).toBe(true);
  expect(verify(null, Buffer.from('{"ü":1}'), key, signature)).toBe(false);
});

test("secrets are random and fit into a join string; comparison tells equal from unequal", () => {
  const crypto = enrolmentCrypto({ random: systemRandom() });
  expect(crypto.randomSecret()).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(crypto.randomSecret()).not.toBe(crypto.randomSecret());
  expect(crypto.equal("a", "a")).toBe(true);
  expect(crypto.equal("a", "b")).toBe(false);
  expect(crypto.equal("a", "aa")).toBe(false);
});
