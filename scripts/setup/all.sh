#!/usr/bin/env bash
# all.sh [--tests]   Everything that this checkout needs on this machine. Silent when nothing is missing.
#   --tests  also what the tests use
# Prints first, in one list, what it is going to install.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

steps=(engine firewall postgres base-image node)
case ${1:-} in
  '') ;;
  --tests) steps+=(test-tools grpcurl kafka) ;;
  *) fail "usage: scripts/setup/all.sh [--tests]" ;;
esac

plan= todo=()
for step in "${steps[@]}"; do
  lines=$("$ROOT/scripts/setup/$step.sh" --plan)
  [ -z "$lines" ] || { plan+=$lines$'\n'; todo+=("$step"); }
done
[ ${#todo[@]} -gt 0 ] || exit 0

say "this machine still needs:"
printf '%s' "$plan" | sed 's/^/  - /' >&2
beside=
finish() { [ -z "$beside" ] || { local pid=$beside; beside=; wait "$pid"; }; }
trap finish EXIT
for step in "${todo[@]}"; do
  # Making the base image is mostly waiting, for registries and mirrors: what follows does not need it.
  if [ "$step" = base-image ]; then "$ROOT/scripts/setup/$step.sh" & beside=$!; else "$ROOT/scripts/setup/$step.sh"; fi
done
finish
