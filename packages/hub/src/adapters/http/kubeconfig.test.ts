import { expect, test } from "vitest";
import { parse } from "yaml";
import { kubeconfigText } from "./kubeconfig.ts";

test("a kubeconfig names the server, carries the CA and the token, and is ready to use", () => {
  const text = kubeconfigText({
    name: "flotilla",
    server: "https://127.0.0.1:7443",
    caCertificate: "PEM\n",
    token: "t",
  });
  expect(parse(text)).toMatchObject({
    kind: "Config",
    "current-context": "flotilla",
    clusters: [
      {
        name: "flotilla",
        cluster: { server: "https://127.0.0.1:7443", "certificate-authority-data": "UEVNCg==" },
      },
    ],
    users: [{ name: "flotilla", user: { token: "t" } }],
    contexts: [{ name: "flotilla", context: { cluster: "flotilla", user: "flotilla" } }],
  });
});
