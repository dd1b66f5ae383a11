#!/usr/bin/env bash
# matrix.sh [--engine V]... [--compose V]... [--suite V]
#   Runs the conformance test against every pair of engine (20.10, 26.1, 29) and compose (2.26, 5.2, 5.5), and prints a table.
#   --engine, --compose   only these
#   --suite V             instead, the main integration tests on engine V with compose 2.26, or the one that is named
# Programs are fetched or compiled once into build/matrix/ (a quarter of an hour). Each engine runs in a network namespace of its
# own, on state of its own; the installed engine only gives its images. Results are kept: the table has those of earlier runs too.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/matrix/lib.sh"
. "$ROOT/scripts/matrix/engine.sh"
cd "$ROOT"

SUITE=(live-mutation failures drift concurrency mac)

engines=() composes=() suite=
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || fail "usage: npm run matrix -- [--engine V]... [--compose V]... [--suite V]"
  case $1 in
    --engine) engines+=("$2") ;;
    --compose) composes+=("$2") ;;
    --suite) suite=$2 engines+=("$2") ;;
    *) fail "usage: npm run matrix -- [--engine V]... [--compose V]... [--suite V]" ;;
  esac
  shift 2
done
[ ${#engines[@]} -gt 0 ] || engines=("${ENGINES[@]}")
if [ ${#composes[@]} = 0 ]; then
  if [ -n "$suite" ]; then composes=(2.26); else composes=("${COMPOSES[@]}"); fi
fi

is_root || fail "engines and network namespaces need root. Run: sudo npm run matrix"
[ -x node_modules/.bin/vitest ] || fail "the dependencies are missing; run: scripts/setup/all.sh --tests"
mkdir -p "$MATRIX/results" "$MATRIX_RUN"
exec 9> "${MATRIX_RUN%/*}/matrix.lock"
flock -n 9 || fail "another matrix runs on this machine"

# Tests that are stopped half way leave their databases running; here is where to find them.
temporary=$(mktemp -d /tmp/decnet-matrix.XXXXXX)
chmod 711 "$temporary"
stop_databases() {
  local file pid socket
  for file in "$temporary"/*/postgres/data/postmaster.pid; do
    [ -e "$file" ] || continue
    pid=$(head -1 "$file") socket=$(sed -n 5p "$file")
    if tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline" | grep -qF "$temporary/"; then
      kill -INT "$pid"
      timeout 20 tail --pid="$pid" -f /dev/null || true
      rmdir --ignore-fail-on-non-empty "$socket"
    fi
  done
}

running= child=
exec 3>&2
cleanup() {
  trap '' INT TERM
  exec 2>&3                                # a signal during a test arrives where the output goes to its log
  if [ -n "$child" ]; then kill -TERM -- "-$child" 2> /dev/null || true; wait "$child" 2> /dev/null || true; fi
  stop_databases
  if [ -n "$running" ]; then say "engine $running: stopping"; stop_engine "$running"; fi
  rm -rf --one-file-system "$temporary"
  rmdir --ignore-fail-on-non-empty "$MATRIX_RUN" 2> /dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# In a process group of its own, so that a signal here ends all of it.
in_group() {
  local status=0
  set -m
  "$@" < /dev/null &
  child=$!
  set +m
  wait "$child" || status=$?
  child=
  return $status
}

for version in "${engines[@]}"; do in_group scripts/matrix/obtain.sh engine "$version"; done
for version in "${composes[@]}"; do in_group scripts/matrix/obtain.sh compose "$version"; done

say "preparing images on the installed engine"
images=$(node --import tsx --conditions=source test/support/print-images.ts)

failed=()
for engine in "${engines[@]}"; do
  running=$engine
  start_engine "$engine"
  # shellcheck disable=SC2086  # one word for each image
  load_images $images
  for compose in "${composes[@]}"; do
    files=(test/conformance)
    if [ -n "$suite" ]; then files=("${SUITE[@]/#/test/integration/}"); files=("${files[@]/%/.test.ts}"); fi
    name=${suite:+suite_}${engine}_$compose
    plugin=$MATRIX/compose-$compose/docker-compose
    say "engine $engine, compose $compose: ${files[*]}"
    printf '%s\n' "$(engine_docker version --format '{{.Server.Version}} (API {{.Server.APIVersion}})')" \
      "$("$plugin" version --short)" > "$MATRIX/results/$name.versions"
    rm -f "$MATRIX/results/$name.json"
    TMPDIR=$temporary DECNET_DOCKER_SOCKET=$socket DECNET_COMPOSE=$plugin in_group timeout --foreground -k 30 30m \
      node_modules/.bin/vitest run --project integration --reporter=default --reporter=json \
      --outputFile.json="$MATRIX/results/$name.json" "${files[@]}" > "$MATRIX/results/$name.log" 2>&1 ||
      { failed+=("$engine with $compose"); tail -n 40 "$MATRIX/results/$name.log" >&2; }
  done
  say "engine $engine: stopping"
  stop_engine "$engine"
  running=
done

node scripts/matrix-table.mjs "$MATRIX/results" | tee "$MATRIX/table.md"
[ ${#failed[@]} = 0 ] || fail "failed: ${failed[*]}; output in $MATRIX/results"
