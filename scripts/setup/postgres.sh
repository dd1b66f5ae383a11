#!/usr/bin/env bash
# postgres.sh [--plan]   PostgreSQL server programs (13 or newer), for the database that the master runs for itself. Idempotent.
#   The package is kept from making a cluster and a server of its own.
#   --plan   only print what would be done; nothing when there is nothing to do
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

MIN_POSTGRES=13

installed() {
  local postgres
  for postgres in "$(command -v postgres || true)" /usr/lib/postgresql/*/bin/postgres; do
    [ -x "$postgres" ] || continue
    case $postgres in
      /usr/lib/postgresql/*) [ "$(cut -d/ -f5 <<< "$postgres")" -ge "$MIN_POSTGRES" ] && return 0 ;;
      *) [ "$(major "$("$postgres" --version | sed 's/^[^0-9]*//')")" -ge "$MIN_POSTGRES" ] && return 0 ;;
    esac
  done
  return 1
}

if installed; then exit 0; fi
if [ "${1:-}" = --plan ]; then echo "PostgreSQL's server programs, without a cluster of their own (package postgresql)"; exit 0; fi
is_root || fail "PostgreSQL is not installed and installing it needs root. Run: sudo scripts/setup/postgres.sh"
have apt-get || fail "PostgreSQL is not installed and this machine has no apt-get. Install its server programs ($MIN_POSTGRES or newer) yourself."

take_lock
install_packages postgresql-common
conf=/etc/postgresql-common/createcluster.conf
if ! grep -qE '^ *create_main_cluster *=' "$conf"; then
  say "telling the package not to make a cluster of its own ($conf)"
  echo 'create_main_cluster = false' >> "$conf"
fi
install_packages postgresql
installed || fail "the package postgresql of $(os_release PRETTY_NAME) is older than $MIN_POSTGRES. Install a newer one yourself."
