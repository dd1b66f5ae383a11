#!/usr/bin/env bash
# down.sh   Stops the master and its private database. Deckies go on running; `npm run up` takes them over again.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib-master.sh"
if ! pid=$(master_pid); then
  say "no master runs"
  exit 0
fi
kill -TERM "$pid"
for _ in $(seq 300); do
  master_pid > /dev/null || { rm -f "$MASTER_PID"; say "the master has stopped; its deckies go on"; exit 0; }
  sleep 0.1
done
fail "the master (pid $pid) did not stop within 30 s; see $MASTER_LOG"
