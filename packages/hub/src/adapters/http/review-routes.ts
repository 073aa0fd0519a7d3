import type { FastifyInstance } from "fastify";
import { sendValue, userOf } from "./api-request.ts";

/**
 * What a client may ask about itself. Every authenticated user may do everything for now, so the body, which newer clients
 * send as protobuf, need not be read.
 */
export function reviewRoutes(app: FastifyInstance): void {
  app.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", (request, reply) =>
    sendValue(request, reply, 201, {
      kind: "SelfSubjectAccessReview",
      apiVersion: "authorization.k8s.io/v1",
      metadata: { creationTimestamp: null },
      spec: {},
      status: { allowed: true },
    }),
  );
  app.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", (request, reply) =>
    sendValue(request, reply, 201, {
      kind: "SelfSubjectRulesReview",
      apiVersion: "authorization.k8s.io/v1",
      metadata: { creationTimestamp: null },
      spec: {},
      status: {
        resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
        nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
        incomplete: false,
      },
    }),
  );
  app.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", (request, reply) => {
    const { name, groups } = userOf(request);
    return sendValue(request, reply, 201, {
      kind: "SelfSubjectReview",
      apiVersion: "authentication.k8s.io/v1",
      metadata: { creationTimestamp: null },
      status: { userInfo: { username: name, groups } },
    });
  });
}
