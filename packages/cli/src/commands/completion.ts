import type { Command } from "commander";
import { CliError } from "../domain/errors.ts";
import { kindNames } from "../domain/kinds.ts";
import type { Io } from "../output/io.ts";

/** `flotilla completion bash|zsh|fish`: a script made from the commands that there are, for the shell to source. */
export function addCompletionCommand(program: Command, io: Io): void {
  program
    .command("completion")
    .argument("<shell>", "bash, zsh or fish")
    .description("print a completion script: source <(flotilla completion bash)")
    .action((shell: string) => {
      const make = SHELLS[shell];
      if (make === undefined)
        throw new CliError("usage", `completion for "${shell}" is not there`, {
          mend: "bash, zsh or fish",
        });
      io.out(make(wordsOf(program)));
    });
}

/** Words that may follow a command path, by path. */
type Words = readonly (readonly [path: string, words: readonly string[]])[];

function wordsOf(program: Command): Words {
  const top = program.commands.map((c) => c.name());
  const kinds: Words = [
    ["get", kindNames()],
    ["delete", kindNames()],
    ["completion", ["bash", "zsh", "fish"]],
  ];
  const nested = program.commands
    .filter((c) => c.commands.length > 0)
    .map((c): Words[number] => [c.name(), c.commands.map((s) => s.name())]);
  return [["", top], ...nested, ...kinds];
}

const SHELLS: Readonly<Record<string, (words: Words) => string>> = {
  bash: (words) => `_flotilla() {
  local cur=\${COMP_WORDS[COMP_CWORD]} first=""
  [ "$COMP_CWORD" -gt 1 ] && first=\${COMP_WORDS[1]}
  case "$first" in
${words.map(([path, list]) => `    "${path}") COMPREPLY=( $(compgen -W "${list.join(" ")}" -- "$cur") ) ;;`).join("\n")}
    *) COMPREPLY=() ;;
  esac
}
complete -o default -F _flotilla flotilla
`,
  zsh: (words) => `#compdef flotilla
_flotilla() {
  local first=""
  (( CURRENT > 2 )) && first=$words[2]
  case "$first" in
${words.map(([path, list]) => `    "${path}") compadd -- ${list.join(" ")} ;;`).join("\n")}
    *) _files ;;
  esac
}
if [ "$funcstack[1]" = "_flotilla" ]; then
  _flotilla
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
  compdef _flotilla flotilla
fi
`,
  fish: (words) =>
    words
      .map(([path, list]) => {
        const condition =
          path === "" ? "__fish_use_subcommand" : `__fish_seen_subcommand_from ${path}`;
        return `complete -c flotilla -f -n "${condition}" -a "${list.join(" ")}"\n`;
      })
      .join(""),
};
