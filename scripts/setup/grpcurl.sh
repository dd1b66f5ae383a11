#!/usr/bin/env bash
# grpcurl.sh [--plan]   grpcurl for the tests: the one on the PATH, or one compiled into build/tools/ (a minute). Idempotent.
#   --plan   only print what would be done; nothing when there is nothing to do
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VERSION=v1.9.4
TOOLS=$ROOT/build/tools

if have grpcurl || [ -x "$TOOLS/grpcurl" ]; then exit 0; fi
have go || fail "grpcurl is not here and Go is needed to compile it (1.24 or newer; the distribution's package is too old). See https://go.dev/dl/"
if [ "${1:-}" = --plan ]; then echo "grpcurl $VERSION, compiled with Go into build/tools"; exit 0; fi

say "compiling grpcurl $VERSION into build/tools (a minute)"
mkdir -p "$TOOLS"
log=$(mktemp)
# Without inlining and debug data it is compiled in three quarters of the time, and fast enough.
export CGO_ENABLED=0 GOGC=400
if ! GOBIN=$TOOLS go install -gcflags=all=-l "-ldflags=-s -w" "github.com/fullstorydev/grpcurl/cmd/grpcurl@$VERSION" > "$log" 2>&1; then
  tail -n 15 "$log" >&2
  rm -f "$log"
  fail "$(go version | cut -d' ' -f3) could not compile grpcurl $VERSION (output above)"
fi
rm -f "$log"
