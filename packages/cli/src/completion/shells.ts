/**
 * Scripts for shells. Each calls `decnet __complete -- WORDS`, the word under the cursor last, and gets `value<TAB>hint`
 * lines.
 */
export const shells: Readonly<Record<string, string>> = {
  bash: `_decnet() {
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD}") line cur=\${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  while IFS=$'\\t' read -r line _; do
    case $line in "$cur"*) COMPREPLY+=("$line") ;; esac
  done < <("\${COMP_WORDS[0]}" __complete -- "\${words[@]}" 2>/dev/null)
  if [ "\${#COMPREPLY[@]}" = 1 ] && [ "\${COMPREPLY[0]: -1}" = "=" ]; then compopt -o nospace; fi
}
COMP_WORDBREAKS=\${COMP_WORDBREAKS//=/}
complete -F _decnet decnet ./decnet`,
  zsh: `#compdef decnet
_decnet() {
  local -a found
  local value hint
  while IFS=$'\\t' read -r value hint; do
    found+=("\${value//:/\\\\:}\${hint:+:$hint}")
  done < <("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe decnet found
}
compdef _decnet decnet`,
  fish: `function __decnet_complete
  set -l words (commandline -opc)[2..-1] (commandline -ct)
  decnet __complete -- $words 2>/dev/null
end
complete -c decnet -f -a '(__decnet_complete)'`,
};
