#!/usr/bin/env bash
# node.sh [--plan]   This checkout's dependencies (npm ci) and its build (npm run build), each only when out of date.
#   --plan   only print what would be done; nothing when there is nothing to do
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

MIN_NODE=20
cd "$ROOT"
STAMP=node_modules/.decnet-installed     # the lock file's hash at the last npm ci
BUILT=node_modules/.decnet-built         # the sources' fingerprint at the last build, then the folders it made

have node || fail "Node.js $MIN_NODE or newer is needed and there is none on the PATH. See https://nodejs.org/en/download"
version=$(node -p process.versions.node)
[ "$(major "$version")" -ge "$MIN_NODE" ] || fail "Node.js $MIN_NODE or newer is needed; $(command -v node) is $version"
have npm || fail "npm is needed and not on the PATH; it comes with Node.js"
[ -e package-lock.json ] || fail "no package-lock.json in $ROOT: this is not a complete checkout"

lock_hash() { sha256sum package-lock.json | cut -d' ' -f1; }
dependencies_fresh() { [ "$(cat "$STAMP" 2> /dev/null)" = "$(lock_hash)" ]; }

# Names, sizes and times of everything a build reads; what it makes itself is left out.
sources() {
  find packages proto package.json package-lock.json tsconfig*.json buf*.yaml \
    \( -name node_modules -o -name dist -o -name gen \) -prune -o -type f ! -name '*.tsbuildinfo' -printf '%p %s %T@\n' 2> /dev/null |
    sort | sha256sum | cut -d' ' -f1
}
made() { find packages -name node_modules -prune -o -type d \( -name dist -o -name gen \) -prune -print | sort; }
build_fresh() {
  local folder
  [ "$(head -n 1 "$BUILT" 2> /dev/null)" = "$(sources)" ] || return 1
  while read -r folder; do [ -d "$folder" ] || return 1; done < <(tail -n +2 "$BUILT")
}

if [ "${1:-}" = --plan ]; then
  dependencies_fresh || echo "npm packages of package-lock.json into node_modules"
  dependencies_fresh && build_fresh || echo "npm run build"
  exit 0
fi

quiet() {                                # runs a command, shows its output only when it fails
  local log status=0
  log=$(mktemp)
  "$@" > "$log" 2>&1 || status=$?
  [ "$status" = 0 ] || { tail -n 30 "$log" >&2; rm -f "$log"; fail "'$*' failed in $ROOT (output above)"; }
  rm -f "$log"
}

exec 8< "$ROOT"
flock -w 900 8 || fail "another set-up has been at work in $ROOT for 15 minutes"
if ! dependencies_fresh; then
  say "installing npm packages (npm ci)"
  hash=$(lock_hash)
  quiet npm ci --no-audit --no-fund 8<&-
  echo "$hash" > "$STAMP"
  rm -f "$BUILT"
fi
if ! build_fresh; then
  say "building (npm run build)"
  fingerprint=$(sources)                 # of before: what changes meanwhile is built the next time
  quiet npm run build 8<&-
  { echo "$fingerprint"; made; } > "$BUILT.new"
  mv -f "$BUILT.new" "$BUILT"
fi
