#!/usr/bin/env bash
# check.sh [--all] [PART...]   What must hold before a commit; every part, or the named ones. `npm run format` repairs the first.
# Parts run side by side, one more than there are cores: the tests wait a lot. After a failure no further part starts.
#   --all   go on after a failure
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
PATH=$PWD/node_modules/.bin:$PATH
LOGS=build/check
if [ -t 1 ]; then export FORCE_COLOR=1; else export NO_COLOR=1; fi

part_format() { biome check --error-on-warnings; }               # format, order of imports, syntactic rules
part_types() { tsc -b; }
part_promises() { eslint .; }                                    # rules that need types
part_contract() { buf lint; }
part_generated() {                                               # is packages/contract/src/gen what `npm run generate` makes?
  local fresh=$PWD/$LOGS/generated
  rm -rf "$fresh"
  buf generate --output "$fresh" && node scripts/generate-events.mjs --output "$fresh" || return
  diff -r "$fresh/packages/contract/src/gen" packages/contract/src/gen && diff "$fresh/docs/events.md" docs/events.md && return
  echo "packages/contract/src/gen or docs/events.md is not what proto/ says; run: npm run generate"
  return 1
}
part_unused() { knip --no-progress --no-config-hints; }          # files, exports and dependencies
part_tests() {                                                   # unit tests and who may import whom
  vitest run --project unit --project architecture --reporter=default --reporter=json --outputFile.json=build/results/unit.json
}

PARTS=(format generated contract promises tests types unused)    # quick ones first, then the longest
go_on=no
if [ "${1:-}" = --all ]; then go_on=yes; shift; fi
if [ $# -gt 0 ]; then
  for part; do
    declare -F "part_$part" > /dev/null || { echo "check: no part \"$part\"; there are: ${PARTS[*]}" >&2; exit 2; }
  done
  PARTS=("$@")
fi
[ -x node_modules/.bin/biome ] || { echo "check: the dependencies are missing; run: scripts/setup/all.sh" >&2; exit 2; }

declare -A part_of=() started=()                                 # by process id
passed=() failed=() skipped=()
mkdir -p "$LOGS"

show() {                                                         # a log, without the middle when it is long
  local lines
  lines=$(wc -l < "$1")
  if [ "$lines" -le 120 ]; then sed 's/^/  /' "$1"; return; fi
  { head -n 60 "$1"; echo "[... $((lines - 120)) more lines in $1]"; tail -n 60 "$1"; } | sed 's/^/  /'
}
now() { date +%s%N; }
finish_one() {
  local pid status=0 part took
  wait -n -p pid "${!part_of[@]}" || status=$?
  part=${part_of[$pid]}
  took=$((($(now) - started[$pid]) / 10000000))
  unset "part_of[$pid]"
  printf 'check: %-10s %s %3d.%02d s\n' "$part" "$([ $status = 0 ] && echo 'ok    ' || echo FAILED)" $((took / 100)) $((took % 100))
  if [ $status = 0 ]; then
    passed+=("$part")
  else
    failed+=("$part")
    show "$LOGS/$part.log"
  fi
}
stop_all() { for pid in "${!part_of[@]}"; do kill -TERM -- "-$pid" 2> /dev/null; done; }
trap 'stop_all; exit 130' INT TERM

slots=$(($(nproc 2> /dev/null || echo 2) + 1))
set -m   # a process group for each part, so that it can be stopped whole
for part in "${PARTS[@]}"; do
  while [ ${#part_of[@]} -ge "$slots" ]; do finish_one; done
  if [ ${#failed[@]} -gt 0 ] && [ $go_on = no ]; then skipped+=("$part"); continue; fi
  "part_$part" > "$LOGS/$part.log" 2>&1 < /dev/null &
  part_of[$!]=$part
  started[$!]=$(now)
done
while [ ${#part_of[@]} -gt 0 ]; do finish_one; done

if [ ${#failed[@]} -gt 0 ]; then
  echo "check: FAILED: ${failed[*]}${skipped[*]:+ (not run: ${skipped[*]})}; the output is above and in $LOGS/"
  exit 1
fi
[ ${#passed[@]} = ${#PARTS[@]} ] || exit 1
echo "check: everything holds (${SECONDS} s)"
