import type { Container } from "@flotilla/shared/model/workload";

/** Names that a workload with artifacts finds in its environment. */
export interface ArtifactPaths {
  /** Folder of its files; leads to others after a switch. */
  readonly FLOTILLA_ARTIFACTS: string;
  /** File that holds updates back while it is there; the text in it says why. */
  readonly FLOTILLA_UPDATE_LOCK: string;
}

/** Names that every workload finds in its environment. */
export interface WorkloadIdentity extends Partial<ArtifactPaths> {
  readonly FLOTILLA_INSTANCE: string;
  readonly FLOTILLA_RUN: string;
  readonly FLOTILLA_AGENT: string;
  readonly FLOTILLA_NODE: string;
  readonly FLOTILLA_INDEX: string;
  readonly FLOTILLA_NODE_ADDRESS: string;
  readonly FLOTILLA_SPEC: string;
  readonly FLOTILLA_CONTAINER: string;
}

/**
 * Replaces `$(NAME)` by the variable's value; `$$(NAME)` stands for the text `$(NAME)`, an unknown name stays as it is
 * (Kubernetes third_party/forked/golang/expansion/expand.go).
 */
export function expand(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (whole: string, name: string | undefined) => {
    if (name === undefined) return "$";
    return Object.hasOwn(variables, name) ? (variables[name] ?? "") : whole;
  });
}

/**
 * The whole environment of a container, in Kubernetes' order: inherited (and given), then the container's own, each expanded by what
 * stands before it. The agent's names come last: nobody may take the identity of another run.
 */
export function containerEnvironment(
  container: Container,
  inherited: Readonly<Record<string, string>>,
  own: WorkloadIdentity,
): Record<string, string> {
  const identity: Readonly<Record<string, string>> = { ...own };
  const variables: Record<string, string> = { ...inherited, ...identity };
  for (const { name, value } of container.env ?? [])
    variables[name] = expand(value ?? "", variables);
  return { ...variables, ...identity };
}

/** The container with `$(NAME)` replaced in command and arguments. */
export function expandContainer(
  container: Container,
  environment: Readonly<Record<string, string>>,
): Container {
  const all = (texts: readonly string[]): string[] => texts.map((t) => expand(t, environment));
  return {
    ...container,
    ...(container.command === undefined ? {} : { command: all(container.command) }),
    ...(container.args === undefined ? {} : { args: all(container.args) }),
  };
}
