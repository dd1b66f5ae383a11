#!/usr/bin/env bash
# link-cli.sh add|remove   Puts this checkout's decnet on the PATH, as a link in DECNET_BIN_DIR (/usr/local/bin), or takes it away.
#   Only a link to this checkout is ever replaced or removed. `add` prints what a shell here has to type: decnet, or ./decnet.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
folder=${DECNET_BIN_DIR:-/usr/local/bin}
link=$folder/decnet
is_ours() { [ -L "$link" ] && [ "$(readlink "$link")" = "$root/decnet" ]; }

case "${1:-}" in
  add)
    if [ ! -e "$link" ] && [ ! -L "$link" ] && [ -d "$folder" ] && [ -w "$folder" ]; then ln -s "$root/decnet" "$link"; fi
    # Another decnet may come first on the PATH, and the folder need not be on it.
    if [ "$(readlink -f "$(type -P decnet || echo /)")" = "$root/decnet" ]; then echo decnet; else echo ./decnet; fi
    ;;
  remove) if is_ours; then rm -f "$link"; fi ;;
  *)
    echo "usage: scripts/link-cli.sh add|remove" >&2
    exit 2
    ;;
esac
