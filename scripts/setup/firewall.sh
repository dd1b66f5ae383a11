#!/usr/bin/env bash
# firewall.sh [--plan]   nftables' `nft`, which keeps deckies from the ports of this host. Idempotent.
#   --plan   only print what would be done; nothing when there is nothing to do
# Only the program is installed: no rule of this machine is touched, and nothing is loaded at boot.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

! have nft || exit 0
if [ "${1:-}" = --plan ]; then echo "nftables, to keep deckies from the ports of this host"; exit 0; fi
is_root || fail "need root to install nftables. Run: sudo apt-get install nftables"
take_lock
install_packages nftables
