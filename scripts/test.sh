#!/usr/bin/env bash
# test.sh   Everything: sets this machine up, then `npm run check`, then the tests on a real engine and a real database.
# Needs nothing but the checkout and Node.js; ends with "N passed, N failed" and leaves its output in build/.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
exec < /dev/null
PATH=$PWD/node_modules/.bin:$PATH
LOGS=build/logs RESULTS=build/results READY=build/ready
SUITE_MINUTES=60                          # no suite may hang for ever
export CI=${CI:-true}
if [ -t 1 ]; then export FORCE_COLOR=1; else export NO_COLOR=1; fi
rm -rf "$LOGS" "$RESULTS" "$READY"
mkdir -p "$LOGS" "$RESULTS"

engine_answers() { command -v docker > /dev/null && timeout 10 docker version --format '{{.Server.Version}}' > /dev/null 2>&1; }
engine_was_here=no
if engine_answers; then engine_was_here=yes; fi

child= beside= memory=/dev/shm
cleanup() {
  local pid
  trap '' INT TERM
  for pid in $child $beside; do kill -TERM -- "-$pid" 2> /dev/null && wait "$pid"; done
  rm -rf {"$memory","${TMPDIR:-/tmp}"}"/decnet-ready-$$-"* "/var/tmp/decnet-images-$$-"*
  if [ $engine_was_here = no ]; then scripts/setup/stop-engine.sh; fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# run NAME COMMAND...   in a process group of its own, so that a signal here ends all of it
run() {
  local name=$1 status=0
  shift
  printf '\n== %s\n' "$name"
  set -m
  { "$@" 2>&1 | tee "$LOGS/$name.log"; } &
  child=$!
  set +m
  wait "$child" || status=$?
  child=
  if [ $status != 0 ]; then failed+=("$name"); fi
  return $status
}

# begin NAME COMMAND...   beside what follows, until `finish NAME`; one at a time
begin() {
  local name=$1
  shift
  set -m
  "$@" > "$LOGS/$name.log" 2>&1 &
  beside=$!
  set +m
}

finish() {
  local name=$1 status=0
  wait "$beside" || status=$?
  beside=
  printf '\n== %s\n' "$name"
  cat "$LOGS/$name.log"
  if [ $status != 0 ]; then failed+=("$name"); fi
  return $status
}

# Hundreds of databases are made and removed: on a disk, looking for places for their files took 8 % of all processor time.
has_memory() {
  [ "$(stat -fc %T $memory 2> /dev/null)" = tmpfs ] && [ "$(df --output=avail -BM $memory | tr -dc 0-9)" -ge 4000 ]
}

in_memory() {
  if has_memory; then local -x TMPDIR=$memory; fi
  "$@"
}

# suite PROJECT REPORT [FILE...]
suite() {
  local project=$1 report=$2
  shift 2
  TEST_BUILT=1 TEST_BUNDLED=1 in_memory timeout --foreground -k 30 "${SUITE_MINUTES}m" \
    vitest run --project "$project" --reporter=default --reporter=json --outputFile.json="$RESULTS/$report.json" "$@"
}

# Tests on a real engine wait for real time beside five others on few processors. When one or two files failed they are run once
# more, by themselves: that decides, and the end says which passed only then. TEST_AGAIN=no leaves it at the first run.
run_suite() {
  local files=()
  run "$1" suite "$1" "$1" && return
  # What failed outside of a test, such as a leak, is in no report, and no second run of a test excuses it.
  if grep -qE 'error during close|Unhandled (Error|Rejection)' "$LOGS/$1.log"; then return 1; fi
  if [ "${TEST_AGAIN:-yes}" = yes ]; then mapfile -t files < <(node scripts/failed-files.mjs "$1"); fi
  if [ ${#files[@]} = 0 ]; then return 1; fi
  unset 'failed[-1]'
  run "$1-again" suite "$1" "$1-again" "${files[@]}"
}

# Programs that are built start in half the time, those of the tests too; one test after the other by hand runs the sources.
build_all() { tsc -b packages/* test && node scripts/bundle-programs.mjs; }

# What only the tests on a real engine need: much of it is waiting, for mirrors and for builds of images.
equip() {
  local ready status=0
  scripts/setup/all.sh || return
  TEST_BUILT=1 TEST_OWNER=$$ in_memory node --import tsx --conditions=source test/support/make-ready.ts > "$READY" &
  ready=$!
  scripts/setup/all.sh --tests || status=$?
  wait "$ready" || status=$?
  return $status
}

failed=() suites=(unit integration e2e)
begin equipment equip
if run setup scripts/setup/node.sh; then
  run check scripts/check.sh --all
  run build build_all
  built=$?
  if finish equipment && [ $built = 0 ]; then
    set -a; . "$READY"; set +a
    run_suite integration
    run_suite e2e
  fi
fi

printf '\n'
if [ ${#failed[@]} -gt 0 ]; then echo "FAILED: ${failed[*]}; output in $LOGS/ and build/check/"; fi
node scripts/sum-results.mjs "${suites[@]}" || failed+=(results)
[ ${#failed[@]} = 0 ]
