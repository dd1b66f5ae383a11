#!/usr/bin/env bash
# purge-installation.sh ID   Removes from the engine what is still there of one installation, by its label. Nothing else is touched;
#   the ids of other installations that have something on the engine are printed, one a line.
set -euo pipefail
fail() { printf 'decnet: error: %s\n' "$*" >&2; exit 1; }
[[ ${1:-} =~ ^[0-9a-f-]{36}$ ]] || fail "usage: scripts/purge-installation.sh ID, which is in installation.json of the data folder"
mine=(--filter "label=decnet.instance=$1")

containers=$(docker ps -aq "${mine[@]}")
# shellcheck disable=SC2086  # several words, here and below
[ -z "$containers" ] || docker rm -f -v $containers > /dev/null
networks=$(docker network ls -q "${mine[@]}")
[ -z "$networks" ] || docker network rm $networks > /dev/null
volumes=$(docker volume ls -q "${mine[@]}")
[ -z "$volumes" ] || docker volume rm $volumes > /dev/null

format='{{.Label "decnet.instance"}}'
{
  docker ps -a --filter label=decnet.instance --format "$format"
  docker network ls --filter label=decnet.instance --format "$format"
  docker volume ls --filter label=decnet.instance --format "$format"
} | sort -u
