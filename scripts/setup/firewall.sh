#!/usr/bin/env bash
# firewall.sh [--plan]   `nft` and `ip`, which keep deckies from the ports of this host and from calling out. Idempotent.
#   --plan   only print what would be done; nothing when there is nothing to do
# Only the programs are installed: no rule of this machine is touched, and nothing is loaded at boot.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=()
have nft || packages+=(nftables)
have ip || packages+=(iproute2)
[ ${#packages[@]} -gt 0 ] || exit 0
if [ "${1:-}" = --plan ]; then echo "${packages[*]}, to keep deckies from the ports of this host and from calling out"; exit 0; fi
is_root || fail "need root to install ${packages[*]}. Run: sudo apt-get install ${packages[*]}"
take_lock
install_packages "${packages[@]}"
