#!/bin/sh
# start-postgres.sh [postgres] [OPTION...]   PostgreSQL in a container; the first time it makes the cluster. It takes the
#   variables of the official image: POSTGRES_PASSWORD (needed the first time), POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS
#   and PGDATA.
set -eu
umask 077
[ "${1:-}" != postgres ] || shift
data=${PGDATA:-/var/lib/postgresql/data}
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
fail() { echo "start-postgres: error: $*" >&2; exit 1; }

if [ ! -s "$data/PG_VERSION" ]; then
  [ -n "${POSTGRES_PASSWORD:-}" ] || fail "there is no database in $data yet; POSTGRES_PASSWORD is needed to make one"
  # Elsewhere first: one that is there is whole.
  fresh=${data%/}.new
  rm -rf "$fresh"
  printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/password
  # shellcheck disable=SC2086  # several arguments
  initdb --pgdata "$fresh" --username "$user" --pwfile /tmp/password --auth-local trust --auth-host scram-sha-256 \
    ${POSTGRES_INITDB_ARGS:-}
  rm /tmp/password
  printf '%s\n' 'host all all all scram-sha-256' >> "$fresh/pg_hba.conf"
  if [ "$database" != postgres ]; then
    printf 'CREATE DATABASE "%s" OWNER "%s";\n' "$database" "$user" | postgres --single -j -D "$fresh" postgres > /dev/null
  fi
  sync
  rmdir "$data" 2> /dev/null || [ ! -e "$data" ] || fail "$data has files of something else"
  mv "$fresh" "$data"
fi
unset POSTGRES_PASSWORD
exec postgres -D "$data" -c 'listen_addresses=*' "$@"
