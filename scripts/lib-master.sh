# shellcheck shell=bash
# Shared by up, down and purge: where the master lives and whether it runs. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STATE=${DECNET_STATE_DIR:-/var/lib/decnet}
export DECNET_DATA_DIR=${DECNET_DATA_DIR:-$STATE/master}
export DECNET_PORT=${DECNET_PORT:-7440}
# The TLS port: workers with certificates, operators with tokens. "off" has none.
export DECNET_TLS_HOST=${DECNET_TLS_HOST:-0.0.0.0}
export DECNET_TLS_PORT=${DECNET_TLS_PORT:-7443}
MASTER_PID=$STATE/master.pid
MASTER_LOG=$STATE/master.log
TOKEN_FILE=$DECNET_DATA_DIR/admin.token
ADDRESS=http://127.0.0.1:$DECNET_PORT

say() { printf 'decnet: %s\n' "$*" >&2; }
fail() { printf 'decnet: error: %s\n' "$*" >&2; exit 1; }

# The master's pid when it runs. A zombie's command line is empty, a reused pid's is another's.
master_pid() {
  local pid
  pid=$(cat "$MASTER_PID" 2> /dev/null) || return 1
  tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline" | grep -qF "packages/master/dist/main.js" || return 1
  echo "$pid"
}
is_ready() { curl -fs -m 2 "$ADDRESS/readyz" 2> /dev/null | grep -q '"engine":"ok"'; }
decnet() { DECNET_ADDRESS=$ADDRESS DECNET_TOKEN_FILE=$TOKEN_FILE "$ROOT/decnet" "$@"; }
