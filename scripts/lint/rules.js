// Our own lint rules: what no published rule says. Loaded by oxlint (`jsPlugins` in .oxlintrc.json).

/** Name of a property, written plainly or as a text. */
function nameOf(property) {
  if (property.computed || property.type !== "Property") return undefined;
  return property.key.type === "Identifier" ? property.key.name : property.key.value;
}

/** A rule that allows one literal value of an option only, whatever object it stands in. */
function onlyLiteral(name, allowed, message) {
  return {
    create: (context) => ({
      Property(node) {
        if (nameOf(node) !== name || node.parent?.type === "ObjectPattern") return;
        const isAllowed = node.value.type === "Literal" && node.value.value === allowed;
        if (!isAllowed) context.report({ node, message });
      },
    }),
  };
}

const plugin = {
  meta: { name: "flotilla" },
  rules: {
    "verified-tls": onlyLiteral(
      "rejectUnauthorized",
      true,
      "TLS without verification is a plain link with a costume: trust a CA instead (`ca`).",
    ),
    "no-shell": onlyLiteral(
      "shell",
      false,
      "No shell: a text from a resource must never reach one. Use an argument array.",
    ),
  },
};

export default plugin;
