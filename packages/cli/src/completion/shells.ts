/**
 * Scripts for shells. Each calls `decnet __complete -- WORDS`, the word under the cursor last, and gets `value<TAB>hint` lines;
 * `:files` stands for files. bash breaks words at `=` and `:`; the words are read from the line itself, so that the shell's own
 * settings stay as they are.
 */
export const shells: Readonly<Record<string, string>> = {
  bash: `_decnet() {
  local line=\${COMP_LINE:0:COMP_POINT} words cur reply value broken=
  read -ra words <<< "$line"
  case $line in *[[:space:]]) words+=("") ;; esac
  cur=\${words[\${#words[@]}-1]}
  case $cur in *[=:]*) broken=\${cur%"\${cur##*[=:]}"} ;; esac
  COMPREPLY=()
  while IFS=$'\\t' read -r value reply; do
    if [ "$value" = :files ]; then
      compopt -o filenames 2> /dev/null
      while IFS= read -r reply; do COMPREPLY+=("$reply"); done < <(compgen -f -- "\${cur#"$broken"}")
    else
      COMPREPLY+=("\${value#"$broken"}")
    fi
  done < <("\${words[0]/#\\~/$HOME}" __complete -- "\${words[@]:1}" 2> /dev/null)
  case "\${#COMPREPLY[@]}:\${COMPREPLY[0]-}" in 1:*[=@]) compopt -o nospace 2> /dev/null ;; esac
}
complete -F _decnet decnet ./decnet`,
  zsh: `#compdef decnet
_decnet() {
  local -a found
  local value hint
  while IFS=$'\\t' read -r value hint; do
    if [ "$value" = :files ]; then _files; return; fi
    found+=("\${value//:/\\\\:}\${hint:+:$hint}")
  done < <("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2> /dev/null)
  _describe decnet found
}
compdef _decnet decnet`,
  fish: `function __decnet_complete
  set -l words (commandline -opc)[2..-1] (commandline -ct)
  for found in (decnet __complete -- $words 2> /dev/null)
    if test "$found" = :files
      __fish_complete_path (commandline -ct)
    else
      echo $found
    end
  end
end
complete -c decnet -f -a '(__decnet_complete)'`,
};
