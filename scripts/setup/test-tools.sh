#!/usr/bin/env bash
# test-tools.sh [--plan]   The client programs that the tests talk to decoys with. Idempotent.
#   --plan   only print what would be done; nothing when there is nothing to do
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# command:package
TOOLS=(ssh:openssh-client sshpass:sshpass redis-cli:redis-tools curl:curl openssl:openssl ip:iproute2 nsenter:util-linux nc:netcat-openbsd mkfs.xfs:xfsprogs)

missing=()
for tool in "${TOOLS[@]}"; do have "${tool%%:*}" || missing+=("${tool##*:}"); done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "${1:-}" = --plan ]; then echo "programs for the tests: ${missing[*]}"; exit 0; fi
is_root || fail "need root to install ${missing[*]}. Run: sudo apt-get install ${missing[*]}"
take_lock
install_packages "${missing[@]}"
