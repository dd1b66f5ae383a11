#!/usr/bin/env bash
# purge.sh --yes   Removes every trace: deckies, the master with its data, and what the set-up brought that is not a package.
#   What other installations have on the engine stays, and so does then the engine. Without --yes it says what would go and
#   removes nothing.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib-master.sh"
if [ "${1:-}" != --yes ]; then
  say "this removes every decky of this master, and $DECNET_DATA_DIR with the database and the keys"
  exec "$ROOT/scripts/setup/purge.sh"
fi
if master_pid > /dev/null; then
  "$ROOT/scripts/teardown-topologies.sh"
  decnet fleet teardown --accept teardown=fleet --reason purge
  "$ROOT/scripts/down.sh"
elif [ -d "$DECNET_DATA_DIR" ]; then
  fail "the master does not run, so its deckies cannot be removed; start it first: npm run up"
fi
id=$(sed -n 's/.*"id": *"\([0-9a-f-]\{36\}\)".*/\1/p' "$DECNET_DATA_DIR/installation.json" 2> /dev/null || true)
# Its tables of the packet filter went with the last LAN, unless they could not be removed, or it was killed just then.
if [ -n "$id" ] && command -v nft > /dev/null; then
  nft delete table inet "decnet-$id" 2> /dev/null || true
  nft delete table ip "decnet-published-$id" 2> /dev/null || true
fi
others=
if command -v docker > /dev/null && timeout 20 docker version > /dev/null 2>&1; then
  # Of none that there ever was, when the data folder is gone: only who else is there.
  others=$("$ROOT/scripts/purge-installation.sh" "${id:-00000000-0000-0000-0000-000000000000}")
  "$ROOT/scripts/purge-images.sh"
fi
rm -rf "$DECNET_DATA_DIR" "$MASTER_PID" "$MASTER_LOG"
"$ROOT/scripts/link-cli.sh" remove
if [ -n "$others" ]; then
  say "the engine and what else the set-up brought stay, because other installations use them:"
  sed 's/^/  /' <<< "$others" >&2
  exit 0
fi
"$ROOT/scripts/setup/purge.sh" --yes
