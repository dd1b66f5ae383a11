#!/usr/bin/env bash
# stop-engine.sh   Stops the engine that engine.sh started itself, and with it its containers. Any other engine is left alone.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ -e "$ENGINE_UNIT" ] || engine_pid > /dev/null || exit 0
is_root || fail "stopping the engine needs root. Run: sudo scripts/setup/stop-engine.sh"
take_lock

if [ -e "$ENGINE_UNIT" ] && has_systemd; then
  say "stopping decnet-engine.service"
  systemctl disable --now decnet-engine >&2
elif pid=$(engine_pid); then
  say "stopping the Docker engine (pid $pid)"
  kill -TERM "$pid"
  deadline=$((SECONDS + 90))             # it gives every container its grace period first
  while engine_pid > /dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || fail "the engine (pid $pid) has not stopped within 90 s; see $ENGINE_LOG"
    sleep 0.1
  done
fi
rm -f "$ENGINE_PID"
