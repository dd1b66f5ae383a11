#!/usr/bin/env bash
# base-image.sh [--plan]   The image that decoys are built on: decnet/base-debian:bookworm. Idempotent.
#   Pulled (debian:bookworm-slim) where a registry answers within 15 s, else made with debootstrap from the Debian mirror of
#   this machine's apt sources (or of DECNET_DEBIAN_MIRROR). Needs an engine that answers; see engine.sh.
#   --plan   only print what would be done; nothing when there is nothing to do
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

RELEASE=bookworm
IMAGE=decnet/base-debian:$RELEASE
UPSTREAM=debian:$RELEASE-slim

present() { have docker && timeout 20 docker image inspect "$IMAGE" > /dev/null 2>&1; }

# A registry has 15 s to name the image's layers; once it did, fetching them may take its time.
pull() {
  local log pid waited=0 ok=1
  log=$(mktemp)
  timeout 600 docker pull "$UPSTREAM" > "$log" 2>&1 &
  pid=$!
  while [ -n "$(jobs -rp)" ]; do
    if [ "$waited" -ge 150 ] && ! grep -q 'Pulling from' "$log"; then kill "$pid"; break; fi
    sleep 0.1; waited=$((waited + 1))
  done
  wait "$pid" 2> /dev/null && ok=0
  [ "$ok" = 0 ] || say "no registry gave $UPSTREAM: $(tail -n 1 "$log" | cut -c1-160)"
  rm -f "$log"
  return "$ok"
}

# A minimal root file system, trimmed like the slim image: no docs, no package lists, no caches, nothing of this machine
# except the addresses of its mirrors.
make_rootfs() {
  local dir=$1 sources=$2 mirror include=()
  mirror=$(awk -v s="$RELEASE" '$2 == s { print $1; exit }' <<< "$sources")
  case $mirror in https:*) include=(--include=ca-certificates) ;; esac
  debootstrap --variant=minbase "${include[@]}" "$RELEASE" "$dir" "$mirror"

  sed 's/^/deb /; s/$/ main/' <<< "$sources" > "$dir/etc/apt/sources.list"
  cat > "$dir/etc/apt/apt.conf.d/90slim" << 'CONF'
Acquire::Languages "none";
APT::Install-Recommends "false";
Apt::AutoRemove::SuggestsImportant "false";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CONF
  # Mirrors of a fixed day need these two, inside as outside.
  apt-config dump | grep -E '^Acquire::Check-(Valid-Until|Date) ' >> "$dir/etc/apt/apt.conf.d/90slim" || true
  cat > "$dir/etc/dpkg/dpkg.cfg.d/slim" << 'CONF'
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
CONF
  printf '#!/bin/sh\nexit 101\n' > "$dir/usr/sbin/policy-rc.d"   # packages do not start services in a build
  chmod 755 "$dir/usr/sbin/policy-rc.d"

  # Security updates; the mounts live and die with the namespace. debootstrap left this machine's resolv.conf for it.
  # shellcheck disable=SC2016  # $1 is the inner shell's
  unshare --mount -- bash -euc '
    mount -t proc proc "$1/proc"
    chroot "$1" sh -ec "apt-get -q update; apt-get -qy upgrade"
  ' upgrade "$dir"

  find "$dir/usr/share/doc" -mindepth 1 ! -name copyright ! -type d -delete
  find "$dir/usr/share/doc" -mindepth 1 -type d -empty -delete
  rm -rf "$dir"/usr/share/{info,man,locale}/* "$dir"/var/lib/apt/lists/* "$dir"/var/cache/{apt,ldconfig,debconf}/* \
    "$dir"/var/log/* "$dir"/etc/{hostname,resolv.conf} "$dir"/var/lib/dpkg/*-old "$dir"/tmp/* "$dir"/debootstrap
  : > "$dir/etc/machine-id"
  mkdir -p "$dir/var/cache/apt/archives/partial" "$dir/var/lib/apt/lists/partial"
}

# Build steps must reach the mirror, since decoys are built with apt-get. Told, not fatal: the network may come later.
try_build() {
  local log made
  log=$(mktemp)
  say "trying a build step with apt-get in it"
  if ! timeout 120 docker build --quiet --no-cache --force-rm - > "$log" 2>&1 << DOCKERFILE
FROM $IMAGE
RUN apt-get update && apt-get install -y --no-install-recommends netbase
DOCKERFILE
  then
    tail -n 10 "$log" >&2
    say "warning: apt-get does not work inside 'docker build' here (output above); decoy images cannot be built until it does"
  fi
  made=$(grep -o '^sha256:[0-9a-f]*$' "$log" || true)
  [ -z "$made" ] || docker image rm "$made" > /dev/null 2>&1 || true
  rm -f "$log"
}

if [ "${1:-}" = --plan ]; then
  present || echo "the base image $IMAGE: pulled, or made with debootstrap from this machine's Debian mirror"
  exit 0
fi

! present || exit 0
have docker && timeout 20 docker version > /dev/null 2>&1 || fail "the Docker engine does not answer. Run scripts/setup/engine.sh first."

say "getting the base image $IMAGE: trying to pull $UPSTREAM"
if pull; then
  docker tag "$UPSTREAM" "$IMAGE"
else
  is_root || fail "making the base image with debootstrap needs root. Run: sudo scripts/setup/base-image.sh"
  take_lock
  ! present || exit 0
  install_packages debootstrap
  sources=$(debian_sources "$RELEASE")
  say "making it with debootstrap (half a minute)"
  work=$(mktemp -d /var/lib/decnet/base-image.XXXXXX)
  trap 'rm -rf --one-file-system "$work"' EXIT
  set +e                                 # not `if ! (…)`: that would switch off -e inside
  (set -e; make_rootfs "$work/rootfs" "$sources") > "$work/log" 2>&1
  made=$?
  set -e
  if [ "$made" != 0 ]; then
    tail -n 15 "$work/log" >&2
    fail "could not make the base image (output above)"
  fi
  tar -C "$work/rootfs" --numeric-owner -c . | docker import \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'CMD ["bash"]' \
    --change "LABEL decnet.base=\"debootstrap --variant=minbase $RELEASE\"" \
    --message "debootstrap --variant=minbase $RELEASE" - "$IMAGE" > /dev/null
fi
if is_root; then record "image $IMAGE"; fi

docker run --rm --init --network none "$IMAGE" true > /dev/null ||
  fail "the engine cannot run a container of $IMAGE with an init (message above)"
try_build
say "base image $IMAGE is ready"
