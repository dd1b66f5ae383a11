#!/usr/bin/env bash
# purge.sh --yes   Removes what the set-up scripts made on this machine: the private engine with ALL its containers, images and
#   volumes, its links, its log and the base image. Packages of the distribution stay; the line that removes them is printed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

is_root || fail "removing the set-up needs root. Run: sudo scripts/setup/purge.sh --yes"
recorded() { sed -n "s/^$1 //p" "$INSTALLED" 2> /dev/null || true; }

targets=(/opt/decnet/engine "$ENGINE_DATA" "$ENGINE_RUN" "$ENGINE_LOG" "$ENGINE_LOG.1")
if [ "${1:-}" != --yes ]; then
  say "this stops the engine and removes, with every container, image and volume in it:"
  { printf '%s\n' "${targets[@]}"; recorded link; recorded file; } | sed 's/^/  /' >&2
  fail "nothing was removed. Run it with --yes to do so."
fi

"$(dirname "${BASH_SOURCE[0]}")/stop-engine.sh"
take_lock

# What the engine left mounted, innermost first; one that was killed leaves its folder bound to itself.
awk -v data="$ENGINE_DATA" -v run="$ENGINE_RUN" 'index($2 "/", data "/") == 1 || index($2 "/", run "/") == 1 { print $2 }' /proc/mounts |
  sort -r | while read -r mount; do umount "$mount" || umount --lazy "$mount"; done

# The base image in an engine that is not ours.
recorded image | while read -r image; do
  ! have docker || timeout 20 docker image rm "$image" > /dev/null 2>&1 || true
done
# Its bridge and its packet filter rules, unless another engine may want them.
if [ -d /opt/decnet/engine ] && ! pgrep -x dockerd > /dev/null; then
  ip link del docker0 2> /dev/null || true
  for tool in iptables ip6tables; do
    ! have "$tool" || ! "$tool-save" 2> /dev/null | grep -q DOCKER || "$tool-save" | grep -v -e DOCKER -e docker0 | "$tool-restore" || true
  done
fi
rm -rf --one-file-system "${targets[@]}"
{ recorded link; recorded file; } | while read -r path; do rm -f "$path"; done
! has_systemd || systemctl daemon-reload

mapfile -t packages < <(recorded apt | while read -r p; do if package_installed "$p"; then echo "$p"; fi; done)
rm -f "$INSTALLED" /run/decnet/setup.lock
rmdir --ignore-fail-on-non-empty /opt/decnet /run/decnet /var/lib/decnet "${ENGINE_LOG%/*}" 2> /dev/null || true
if [ ${#packages[@]} -gt 0 ]; then
  say "packages that were installed for it are still there. To remove them too:"
  say "  apt-get remove ${packages[*]}"
fi
