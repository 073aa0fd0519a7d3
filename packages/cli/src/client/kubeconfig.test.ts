import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadKubeconfig } from "./kubeconfig.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-cli-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(text: string): string {
  const path = join(folder, "kubeconfig");
  writeFileSync(path, text);
  return path;
}

const config = (server: string, user: string): string => `apiVersion: v1
kind: Config
current-context: hub
contexts: [{name: hub, context: {cluster: hub, user: admin, namespace: shop}}]
clusters: [{name: hub, cluster: {server: "${server}", certificate-authority-data: ${Buffer.from("PEM").toString("base64")}}}]
users: [{name: admin, user: ${user}}]
`;

test("address, authority, token and namespace are read", () => {
  expect(loadKubeconfig(write(config("https://hub:7443/", "{token: t}")))).toEqual({
    server: "https://hub:7443",
    ca: "PEM",
    token: "t",
    namespace: "shop",
  });
});

test("a program that a kubeconfig names is never run", () => {
  const access = loadKubeconfig(
    write(config("https://hub", `{exec: {command: touch, args: ["${folder}/ran"]}}`)),
  );
  expect(access.token).toBeUndefined();
});

test.each([
  ["a: [", /is no YAML/],
  ["{}", /is no kubeconfig/],
  [config("http://hub", "{token: t}"), /is no kubeconfig for a hub/],
  [
    config("https://hub", "{token: t}").replace("current-context: hub", "current-context: other"),
    /no context "other"/,
  ],
])("a file that cannot be used is refused with the reason", (text, message) => {
  expect(() => loadKubeconfig(write(text))).toThrow(message);
});
