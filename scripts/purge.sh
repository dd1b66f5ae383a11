#!/usr/bin/env bash
# purge.sh --yes   Removes every trace: deckies, the master with its data, and what the set-up brought that is not a package.
#   Without --yes it says what would go and removes nothing.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib-master.sh"
if [ "${1:-}" != --yes ]; then
  say "this removes every decky of this master, and $DECNET_DATA_DIR with the database and the keys"
  exec "$ROOT/scripts/setup/purge.sh"
fi
if master_pid > /dev/null; then
  "$ROOT/scripts/teardown-topologies.sh"
  decnet fleet teardown --accept teardown=fleet --reason purge
  network=$(docker network ls -q --filter label=decnet.instance)
  [ -z "$network" ] || docker network rm $network > /dev/null
  "$ROOT/scripts/down.sh"
elif [ -d "$DECNET_DATA_DIR" ]; then
  fail "the master does not run, so its deckies cannot be removed; start it first: npm run up"
fi
# The packet filter's table of this master, by the note about it: it went with the last LAN, unless that could not be removed.
if [ -f "$DECNET_DATA_DIR/containment.nft" ] && command -v nft > /dev/null; then
  read -r _ family table _ < "$DECNET_DATA_DIR/containment.nft"
  case $table in decnet-*) nft delete table "$family" "$table" 2> /dev/null || true ;; esac
fi
images=$(docker images -q 'decnet/*' 2> /dev/null | sort -u)
[ -z "$images" ] || docker image rm -f $images > /dev/null
rm -rf "$DECNET_DATA_DIR" "$MASTER_PID" "$MASTER_LOG"
"$ROOT/scripts/link-cli.sh" remove
"$ROOT/scripts/setup/purge.sh" --yes
