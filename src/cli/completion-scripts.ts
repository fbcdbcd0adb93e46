/**
 * The scripts of `muslin completion`: bash, zsh, fish.
 *
 * All do the same. The first words, which only a new muslin changes, are in the script, made from the table of commands,
 * and cost nothing. For all that comes after them the script asks `muslin __complete -- WORD…` (complete.ts), whose lines are
 * `WORD<tab>SUMMARY`, or `:files`, or `:directories`. The typed program is asked, so a muslin of another path completes, too.
 */
import type { CommandTable } from './command-row.ts';
import type { Candidate } from './complete-words.ts';
import { nextCommandWords } from './complete-words.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

export type Shell = (typeof SHELLS)[number];

/** What the user has to do with the script, for the help. */
export const INSTALLATION = `
To have it in every new shell:
  bash   muslin completion bash > /etc/bash_completion.d/muslin
  zsh    muslin completion zsh > "\${fpath[1]}/_muslin"
  fish   muslin completion fish > ~/.config/fish/completions/muslin.fish
For this shell alone:
  source <(muslin completion bash)`;

/** The script for a shell. */
export function completionScript(shell: Shell, table: CommandTable): string {
  const steps = [[], ...Object.keys(table.groups).map((group) => [group])].map((before) => ({
    before: before.join(' '),
    candidates: nextCommandWords(table, before),
  }));
  return SCRIPTS[shell](steps);
}

interface Step {
  /** The words before, joined with a blank. */
  readonly before: string;
  readonly candidates: readonly Candidate[];
}

const SCRIPTS: Readonly<Record<Shell, (steps: readonly Step[]) => string>> = { bash, zsh, fish };

/**
 * Bash splits words at ":" and "=", too, and replaces only what comes after them: so the line is split here, at blanks, and
 * what stands before the last of these signs is cut off from each candidate.
 */
function bash(steps: readonly Step[]): string {
  const cases = steps.map(({ before, candidates }) => {
    const words = candidates.map(({ word }) => word).join('\\n');
    return `    ${quotedForSh(before)}) answer=$'${words}' ;;`;
  });
  return `# bash completion for muslin, made by: muslin completion bash
_muslin() {
  local line=\${COMP_LINE:0:COMP_POINT} answer candidate current prefix
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  current=\${words[-1]}
  prefix=\${current%"\${current##*[:=]}"}
  COMPREPLY=()
  case "\${words[*]:1:\${#words[@]}-2}" in
${cases.join('\n')}
    *) answer=$("\${words[0]}" __complete -- "\${words[@]:1}" 2>/dev/null) ;;
  esac
  case $answer in
    :files | :directories)
      compopt -o filenames 2>/dev/null
      local action=-f
      [[ $answer == :directories ]] && action=-d
      mapfile -t COMPREPLY < <(compgen "$action" -- "\${current#"$prefix"}")
      return
      ;;
  esac
  while IFS=$'\\t' read -r candidate _; do
    if [[ -n $candidate && $candidate == "$current"* ]]; then COMPREPLY+=("\${candidate#"$prefix"}"); fi
  done <<<"$answer"
}
complete -F _muslin muslin
`;
}

function zsh(steps: readonly Step[]): string {
  const cases = steps.map(({ before, candidates }) => {
    const words = candidates.map(({ word, summary }) => `      ${quotedForSh(`${word}\t${summary}`)}`);
    return `    ${quotedForSh(before)}) answer=(\n${words.join('\n')}\n    ) ;;`;
  });
  return `#compdef muslin
# zsh completion for muslin, made by: muslin completion zsh
_muslin() {
  local -a given answer candidates
  local line
  given=("\${(@Q)words[2,CURRENT]}")
  case "\${(j: :)given[1,-2]}" in
${cases.join('\n')}
    *) answer=("\${(@f)$("\${(Q)words[1]}" __complete -- "\${(@)given}" 2>/dev/null)}") ;;
  esac
  case "\${answer[1]}" in
    :files) _files; return ;;
    :directories) _files -/; return ;;
  esac
  for line in "\${(@)answer}"; do
    [[ -n $line ]] && candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  _describe -t names muslin candidates
}
if [[ "\${funcstack[1]}" == _muslin ]]; then _muslin "$@"; else compdef _muslin muslin; fi
`;
}

function fish(steps: readonly Step[]): string {
  const cases = steps.map(({ before, candidates }) => {
    const words = candidates.flatMap(({ word, summary }) => [word, quotedForFish(summary)]).join(' ');
    return `        case ${quotedForFish(before)}\n            printf '%s\\t%s\\n' ${words}`;
  });
  return `# fish completion for muslin, made by: muslin completion fish
function __muslin_complete
    set -l before (commandline -opc)
    set -l program $before[1]
    set -e before[1]
    set -l current (commandline -ct)
    switch "$before"
${cases.join('\n')}
        case '*'
            set -l answer ($program __complete -- $before "$current" 2>/dev/null)
            switch "$answer[1]"
                case ':files'
                    __fish_complete_path "$current"
                case ':directories'
                    __fish_complete_directories "$current"
                case '*'
                    printf '%s\\n' $answer
            end
    end
end
complete -c muslin -f -a '(__muslin_complete)'
`;
}

function quotedForSh(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function quotedForFish(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
