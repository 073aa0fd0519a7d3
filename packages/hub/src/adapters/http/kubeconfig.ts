import { stringify } from "yaml";

/** What a client needs to reach the hub. */
export interface KubeconfigOptions {
  /** Name of cluster, user and context. */
  readonly name: string;
  /** `https://host:port`. */
  readonly server: string;
  /** CA certificate, PEM. */
  readonly caCertificate: string;
  readonly token: string;
}

/** Text of a kubeconfig. It holds the token: write it 0600 and print it nowhere. */
export function kubeconfigText(options: KubeconfigOptions): string {
  const { name, server, caCertificate, token } = options;
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name,
        cluster: {
          server,
          "certificate-authority-data": Buffer.from(caCertificate).toString("base64"),
        },
      },
    ],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace: "default" } }],
    "current-context": name,
  });
}
