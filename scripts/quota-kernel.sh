#!/usr/bin/env bash
# quota-kernel.sh [FILE [PATTERN]]
#   Runs one file of the integration tests on a kernel that has project quotas for xfs, on a machine whose own kernel has none:
#   Debian's user-mode Linux, which sees this machine's files and writes nothing to them but its log. By default the tests of what
#   bounds the disk, which takes about three minutes. Packages are unpacked into build/quota-kernel/, never installed. Needs root, and
#   the images of decoys on the installed engine.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup/lib.sh"

WORK=$ROOT/build/quota-kernel
FILE=${1:-test/integration/disk-bounds.test.ts}
PATTERN=${2:-is bounded}
MINUTES=20

is_root || fail "a kernel that sees every file needs root"
have mkfs.xfs || fail "mkfs.xfs is missing. Run: scripts/setup/test-tools.sh"
mkdir -p "$WORK"
exec 8> "$WORK/lock"
flock -n 8 || fail "another run has $WORK"
[ -x "$WORK/root/usr/bin/linux.uml" ] || unpack_from_debian bookworm "$WORK" user-mode-linux busybox-static
mapfile -t images < <(docker image ls --format '{{.Repository}}:{{.Tag}}' | grep '^decnet/')
[ ${#images[@]} -gt 0 ] || fail "the installed engine has no images of decoys; run the tests once"
docker save -o "$WORK/images.tar" "${images[@]}"
printf '%s\n' "$FILE" "$PATTERN" > "$WORK/job"
: > "$WORK/log"

say "running $FILE on Linux $(ls "$WORK/root/usr/lib/uml/modules"), log $WORK/log"
timeout "${MINUTES}m" "$WORK/root/usr/bin/linux.uml" mem=6G root=/dev/root rootfstype=hostfs rootflags=/ rw con=null con0=fd:0,fd:1 \
  init="$ROOT/scripts/quota-kernel/first.sh" < /dev/null > "$WORK/console" 2>&1 8>&- || true
tail -n 12 "$WORK/log"
grep -q '^the tests passed$' "$WORK/log" || fail "the tests did not pass (its log is above, the kernel's messages are in $WORK/console)"
